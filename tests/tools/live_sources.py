"""Fake live sources and a fake clock, for tests that neither sleep nor depend on timing."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np

from edgeinfer import SourceError, SourceLostError
from edgeinfer.results import Frame
from edgeinfer.sources.base import Source
from tools.fakes import FakeSource
from tools.patience import PATIENCE

PICTURE = np.full((60, 80, 3), 250, np.uint8)
TIMEOUT_S = 30 * PATIENCE
"""Time limit for another thread."""


class ManualClock:
    """Clock of a `LiveSource` on which a timeout expires only on request, and then immediately.

    A wait of zero seconds returns immediately.
    """

    def __init__(self) -> None:
        self._now_s = 1000.0
        self._expiring = threading.Event()

    def expire_next_timeout(self) -> None:
        """Expire the current or next wait with a timeout, unless its condition holds."""
        self._expiring.set()

    def now_s(self) -> float:
        return self._now_s

    def wait_for(
        self, condition: threading.Condition, predicate: Callable[[], bool], timeout_s: float | None = None
    ) -> bool:
        deadline_s = time.monotonic() + TIMEOUT_S
        while not predicate():
            if timeout_s is not None and (timeout_s <= 0 or self._expiring.is_set()):
                if timeout_s > 0:
                    self._expiring.clear()
                self._now_s += timeout_s
                return False
            assert time.monotonic() < deadline_s, "neither notified nor expired"
            condition.wait(0.005)
        return True


class StepCamera(FakeSource):
    """A camera that delivers a frame for each call of `show`, and blocks in between.

    Attributes:
        released_by: Name of the thread that closed the camera.
    """

    def __init__(self) -> None:
        super().__init__([])
        self.live, self.frame_count = True, None
        self._ticks, self._delivered = threading.Semaphore(0), threading.Semaphore(0)
        self._lost = False
        self.released_by = ""

    def show(self, frames: int = 1) -> None:
        """Deliver frames."""
        self._ticks.release(frames)

    def wait_until_read(self, frames: int = 1) -> None:
        """Wait until the reader has taken the given number of frames."""
        for _ in range(frames):
            assert self._delivered.acquire(timeout=TIMEOUT_S)

    def lose(self) -> None:
        """Fail the next read."""
        self._lost = True
        self._ticks.release()

    def __iter__(self) -> Iterator[Frame]:
        for index in itertools.count():
            self._ticks.acquire()
            if self._lost:
                raise SourceLostError("the camera was lost")
            yield Frame(PICTURE, index, index / 30, time.monotonic())
            self._delivered.release()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.released_by = threading.current_thread().name


class HangingSource(FakeSource):
    """A source that delivers one frame and blocks in the next read until `released` is set."""

    def __init__(self, clock: ManualClock, released: threading.Event) -> None:
        super().__init__([])
        self._clock, self._released = clock, released

    def __iter__(self) -> Iterator[Frame]:
        yield Frame(PICTURE, 0, 0.0, time.monotonic())
        self._clock.expire_next_timeout()
        self._released.wait()
        yield Frame(PICTURE, 1, 0.0, time.monotonic())


class SourceSequence:
    """An opener that returns prepared sources in order and raises prepared errors.

    Attributes:
        opened: Number of calls.
    """

    def __init__(self, *outcomes: Source | Exception) -> None:
        self._outcomes, self.opened = list(outcomes), 0

    def __call__(self) -> Source:
        self.opened += 1
        outcome = self._outcomes.pop(0) if self._outcomes else SourceError("nothing is connected")
        if isinstance(outcome, Exception):
            raise outcome
        return outcome
