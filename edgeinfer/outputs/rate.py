"""Frame rate over a rolling window."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

_SAMPLES_PER_WINDOW = 12


class RateMeter:
    """Counter with a rate over a rolling window, safe to use from several threads.

    Its memory is bounded: it keeps the count at about twelve times per window, not the time of every event.
    """

    def __init__(self, window_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Initialize a meter with a count of 0.

        Args:
            window_s: length of the rolling window, in seconds, above 0.
            clock: monotonic time in seconds.
        """
        self._window_s, self._clock = window_s, clock
        self._lock = threading.Lock()
        self._samples: deque[tuple[float, int]] = deque()
        self._count = 0

    def add(self) -> None:
        """Count one event now."""
        now_s = self._clock()
        with self._lock:
            self._count += 1
            if not self._samples or now_s - self._samples[-1][0] >= self._window_s / _SAMPLES_PER_WINDOW:
                self._samples.append((now_s, self._count))
            self._discard_before(now_s - self._window_s)

    def per_second(self) -> float:
        """Return the events per second within the window; 0 once no event falls into it."""
        now_s = self._clock()
        with self._lock:
            self._discard_before(now_s - self._window_s)
            if not self._samples:
                return 0.0
            # The first sample marks the beginning of the interval; its own event lies before it.
            first_s, first_count = self._samples[0]
            return (self._count - first_count) / (now_s - first_s) if now_s > first_s else 0.0

    def _discard_before(self, oldest_s: float) -> None:
        while self._samples and self._samples[0][0] < oldest_s:
            self._samples.popleft()
