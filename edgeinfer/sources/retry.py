"""Timeouts and reconnect limits for live sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgeinfer.errors import UsageError

RETRIES_AFTER_LOSS = 5
FOREVER: Literal["forever"] = "forever"
Retries = int | Literal["forever"]


@dataclass(frozen=True, slots=True)
class Patience:
    """Timeouts and retry limit of a live source.

    Attributes:
        stall_s: Seconds without a frame after which a source counts as stalled; above 0, at most 3600.
        open_s: Time limit in seconds for opening a source, its first frame included; above 0, at most 3600.
        retries: Maximum number of consecutive attempts to reopen the source, 0 or more, or "forever". None allows no
            retry before the first frame and 5 afterwards.

    Raises:
        UsageError: A value is out of range.

    Examples:
        >>> import edgeinfer
        >>> edgeinfer.Patience(retries="forever").allows(1000, opened=False)
        True
        >>> edgeinfer.Patience().allows(6, opened=True)
        False
    """

    stall_s: float = 5.0
    open_s: float = 15.0
    retries: Retries | None = None

    def __post_init__(self) -> None:
        for seconds in (self.stall_s, self.open_s):
            if not 0 < seconds <= 3600:
                raise UsageError(f"invalid timeout {seconds:g} s: expected a value above 0 and at most 3600 seconds")
        if isinstance(self.retries, int) and self.retries < 0:
            raise UsageError(f"invalid `retries` {self.retries}: expected 0 or more, or {FOREVER}")

    def allows(self, failures: int, *, opened: bool) -> bool:
        """Return True if another attempt is allowed.

        Args:
            failures: Number of consecutive failures, 1 or more.
            opened: True if the source has delivered a frame before.
        """
        if self.retries is None:
            return opened and failures <= RETRIES_AFTER_LOSS
        return not isinstance(self.retries, int) or failures <= self.retries


def parse_retries(text: str) -> Retries:
    """Parse a retry limit: an integer of 0 or more, or "forever".

    Raises:
        UsageError: The text is neither a non-negative integer nor "forever".
    """
    if text == FOREVER:
        return FOREVER
    if not text.isdecimal():
        raise UsageError(f"invalid number of retries {text!r}: expected 0 or more, or {FOREVER}")
    return int(text)
