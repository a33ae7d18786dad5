"""How long a live source is waited for, and how often and at what pauses it is opened again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edgeinfer.errors import UsageError

State = Literal["connecting", "live", "stalled", "lost"]
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
JITTER = 0.25
RETRIES_AFTER_LOSS = 5
FOREVER: Literal["forever"] = "forever"
Retries = int | Literal["forever"]


@dataclass(frozen=True, slots=True)
class SourceState:
    """How a live source fares.

    Attributes:
        state: "connecting" while it is opened; "live" from the first frame on; "stalled" when no frame has come for
            too long; "lost" when reading failed or could not begin.
        at_s: when, in seconds on the clock of the frames; 0 before the first of them.
        detail: a sentence for people, free of credentials.
    """

    state: State
    at_s: float
    detail: str


@dataclass(frozen=True, slots=True)
class Patience:
    """Deadlines and tries for a live source.

    Attributes:
        stall_s: seconds without a frame after which a source has stalled.
        open_s: seconds that opening one may take, the first frame included.
        retries: tries in a row to open it again before it is given up, or "forever"; None for none before it was ever
            open and 5 after it was.

    Raises:
        UsageError: a value is out of bounds.
    """

    stall_s: float = 5.0
    open_s: float = 15.0
    retries: Retries | None = None

    def __post_init__(self) -> None:
        if not (0 < self.stall_s <= 3600 and 0 < self.open_s <= 3600):
            raise UsageError("a live source is waited for more than 0 and at most 3600 seconds")
        if isinstance(self.retries, int) and self.retries < 0:
            raise UsageError(f"{self.retries} retries are out of bounds; give 0 or more, or {FOREVER}")

    def allows(self, failures: int, *, opened: bool) -> bool:
        """Whether to try again after so many failures in a row, of a source that was open once or never."""
        if self.retries is None:
            return opened and failures <= RETRIES_AFTER_LOSS
        return not isinstance(self.retries, int) or failures <= self.retries


def pause_s(failures: int, chance: Callable[[], float] = random.random) -> float:
    """Seconds to wait after so many failures in a row: 1, 2, 4 … 60, each a quarter more or less.

    The jitter keeps many boxes from knocking at one camera at once (Brooker 2015, "Exponential Backoff And Jitter").
    """
    doubled = FIRST_PAUSE_S * 2.0 ** min(failures - 1, 10)
    varied = doubled * (1 + JITTER * (2 * chance() - 1))
    return min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, varied))


def parse_retries(text: str) -> Retries:
    """A number of tries, or "forever".

    Raises:
        UsageError: it is neither.
    """
    if text == FOREVER:
        return FOREVER
    if not text.isdecimal():
        raise UsageError(f"{text!r} is no number of retries; give 0 or more, or {FOREVER}")
    return int(text)
