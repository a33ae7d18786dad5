"""Clock of live sources, replaceable in tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Monotonic clock that can wait for a condition with a timeout."""

    def now_s(self) -> float:
        """Return the time in seconds, comparable to `time.monotonic()`."""
        ...

    def wait_for(
        self, condition: threading.Condition, predicate: Callable[[], bool], timeout_s: float | None = None
    ) -> bool:
        """Wait until the predicate holds or the timeout expires; the caller holds the condition's lock.

        Returns:
            True if the predicate holds.
        """
        ...


class SystemClock:
    """The clock `time.monotonic()`."""

    def now_s(self) -> float:
        """Return the time in seconds."""
        return time.monotonic()

    def wait_for(
        self, condition: threading.Condition, predicate: Callable[[], bool], timeout_s: float | None = None
    ) -> bool:
        """Sleep on the condition until the predicate holds or the timeout expires."""
        return condition.wait_for(predicate, timeout_s)
