"""How long a live source is waited for, and how often and at what pauses it is opened again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgeinfer.errors import UsageError

RETRIES_AFTER_LOSS = 5
FOREVER: Literal["forever"] = "forever"
Retries = int | Literal["forever"]


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
