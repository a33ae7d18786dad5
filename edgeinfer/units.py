"""Parsers for sizes, durations and counts, counts in messages, and the reconnect backoff."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable

from edgeinfer.errors import UsageError

MIN_PAUSE_S, MAX_PAUSE_S = 1.0, 60.0
JITTER = 0.25

SIZES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}
DURATIONS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
MIN_SIZE_BYTES = 1000
MAX_WORKERS = 1024


def parse_size_wh(text: str) -> tuple[int, int]:
    """Parse a frame size such as "640x480" into (width, height) in pixels.

    Raises:
        UsageError: The text has a different format.
    """
    match = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", text.strip())
    if match is None:
        raise UsageError(f"invalid size {text!r}: expected WIDTHxHEIGHT, for example 1280x720")
    return int(match[1]), int(match[2])


def backoff_s(failures: int, random_share: Callable[[], float] = random.random) -> float:
    """Return the pause before the next attempt: 1, 2, 4 … 60 s, each varied by up to 25 %.

    The jitter keeps many clients from reconnecting to one server at the same time (Brooker 2015, "Exponential Backoff
    And Jitter").

    Args:
        failures: Number of consecutive failures, 1 or more.
        random_share: Function that returns a random number in 0..1.

    Returns:
        Seconds, 1 to 60.
    """
    doubled = MIN_PAUSE_S * 2.0 ** min(failures - 1, 10)
    varied = doubled * (1 + JITTER * (2 * random_share() - 1))
    return min(MAX_PAUSE_S, max(MIN_PAUSE_S, varied))


def parse_size(text: str) -> int:
    """Parse a file size, such as "100MB", into bytes.

    Raises:
        UsageError: The text has a different format, or the size is less than 1000 bytes.
    """
    size_bytes = int(_parse_quantity(text, SIZES, "size", "100MB"))
    check_size(size_bytes)
    return size_bytes


def parse_duration(text: str) -> float:
    """Parse a duration, such as "1h", into seconds.

    Raises:
        UsageError: The text has a different format, or the duration is less than 1 s.
    """
    duration_s = _parse_quantity(text, DURATIONS, "duration", "1h")
    check_duration(duration_s)
    return duration_s


def parse_workers(text: str) -> int | None:
    """Parse a number of workers; "auto" is None.

    Raises:
        UsageError: The text is neither "auto" nor an integer from 1 to 1024.
    """
    if text == "auto":
        return None
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= MAX_WORKERS:
        raise UsageError(f"invalid number of workers {text!r}: expected auto, or an integer from 1 to {MAX_WORKERS}")
    return int(text)


def parse_shard(text: str) -> tuple[int, int]:
    """Parse a part of a whole, such as "2/4", into its number and the number of parts.

    Raises:
        UsageError: The text has a different format, or the number is not between 1 and the number of parts.
    """
    match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"invalid shard {text!r}: expected I/N with I from 1 to N, for example 2/4")
    return int(match[1]), int(match[2])


def counted(number: int, noun: str) -> str:
    """Return a number with its noun in the singular or plural.

    >>> counted(1, "row"), counted(2, "row")
    ('1 row', '2 rows')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def other_files(number: int) -> str:
    """Return the end of a message about files that were found but cannot be used, or "" for none.

    >>> other_files(2)
    '; 2 other files were found'
    """
    return f"; {number} other {'file was' if number == 1 else 'files were'} found" if number else ""


def check_size(size_bytes: int) -> None:
    """Raise UsageError if a file size is less than 1000 bytes."""
    if size_bytes < MIN_SIZE_BYTES:
        raise UsageError(f"invalid size {size_bytes} B: expected {MIN_SIZE_BYTES} bytes or more")


def check_duration(duration_s: float) -> None:
    """Raise UsageError if a duration is less than 1 s, infinite or NaN."""
    if not 1 <= duration_s < math.inf:
        raise UsageError(f"invalid duration {duration_s:g} s: expected 1 s or more")


def _parse_quantity(text: str, units: dict[str, int], quantity: str, example: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+)", text.strip(), re.ASCII | re.IGNORECASE)
    factors = {unit.lower(): factor for unit, factor in units.items()}
    if match is None or match[2].lower() not in factors:
        raise UsageError(
            f"invalid {quantity} {text!r}: expected a number and a unit ({', '.join(units)}), for example {example}"
        )
    return float(match[1]) * factors[match[2].lower()]
