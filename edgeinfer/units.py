"""Parsers for sizes and durations, and the reconnect backoff."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable

from edgeinfer.errors import UsageError


def parse_size_wh(text: str) -> tuple[int, int]:
    """Width and height from "640x480".

    Raises:
        UsageError: it is written otherwise.
    """
    found = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", text.strip())
    if found is None:
        raise UsageError(f"{text!r} is no size; write width and height, such as 640x480")
    return int(found[1]), int(found[2])


FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
JITTER = 0.25


def backoff_s(failures: int, chance: Callable[[], float] = random.random) -> float:
    """Seconds to wait after so many failures in a row: 1, 2, 4 … 60, each a quarter more or less.

    The jitter keeps many boxes from knocking at one camera at once (Brooker 2015, "Exponential Backoff And Jitter").
    """
    doubled = FIRST_PAUSE_S * 2.0 ** min(failures - 1, 10)
    varied = doubled * (1 + JITTER * (2 * chance() - 1))
    return min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, varied))


SIZES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}
DURATIONS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
SMALLEST_BYTES = 1000


def parse_size(text: str) -> int:
    """A part's size in bytes from "100MB" and the like.

    Raises:
        UsageError: it cannot be read, or is too small.
    """
    size_bytes = int(_quantity(text, SIZES, "size", "100MB"))
    _check_size(size_bytes)
    return size_bytes


def parse_duration(text: str) -> float:
    """A part's duration in seconds from "1h" and the like.

    Raises:
        UsageError: it cannot be read, or is too short.
    """
    every_s = _quantity(text, DURATIONS, "duration", "1h")
    _check_duration(every_s)
    return every_s


def _check_size(size_bytes: int) -> None:
    if size_bytes < SMALLEST_BYTES:
        raise UsageError(f"a part has {SMALLEST_BYTES} bytes or more, not {size_bytes}")


def _check_duration(every_s: float) -> None:
    if not 1 <= every_s < math.inf:
        raise UsageError(f"a part lasts a second or more, not {every_s:g} s")


def _quantity(text: str, units: dict[str, int], what: str, example: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+)", text.strip(), re.ASCII | re.IGNORECASE)
    factors = {unit.lower(): factor for unit, factor in units.items()}
    if match is None or match[2].lower() not in factors:
        raise UsageError(f"cannot read the {what} {text!r}; write a number and one of {', '.join(units)}: {example}")
    return float(match[1]) * factors[match[2].lower()]
