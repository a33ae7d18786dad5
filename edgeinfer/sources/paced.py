"""Playback of a video file in real time, without dropping frames."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from edgeinfer.results import Frame
from edgeinfer.sources.base import Source
from edgeinfer.system import interrupts

MAX_PAUSE_S = 10.0
"""Longest pause between two frames, in seconds; a longer gap in the timestamps is shortened to it."""
MAX_DELAY_S = 1.0
"""Delay in seconds up to which playback catches up; after a longer one it continues from there in real time."""


class PacedSource(AbstractContextManager["PacedSource"]):
    """A video that yields each frame at its presentation time, counted from the first frame.

    Every frame is yielded: if the consumer is too slow, playback is slower than real time.

    Attributes:
        name: Name of the underlying source.
        live: False.
        continuous: True if frames follow each other in time.
        fps: Nominal frames per second, or None if unknown.
        frame_count: Number of frames, or None if unknown.
        dropped: 0.
        skipped: Number of frames that could not be decoded.
    """

    live = False
    dropped = 0

    def __init__(
        self,
        source: Source,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take ownership of a source.

        Args:
            source: Underlying source, closed by this one.
            clock: Monotonic time in seconds.
            sleep: Function that waits for a number of seconds.
        """
        self._source, self._clock, self._sleep = source, clock, sleep
        self.name, self.continuous = source.name, source.continuous
        self.fps, self.frame_count, self.skipped = source.fps, source.frame_count, source.skipped
        self._start_s: float | None = None

    def __iter__(self) -> Iterator[Frame]:
        """Yield each frame when it is due.

        Raises:
            SourceError: The underlying source cannot be read.
        """
        for frame in self._source:
            self.skipped = self._source.skipped
            self._wait_for(frame.timestamp_s)
            yield frame
        self.skipped = self._source.skipped

    def _wait_for(self, timestamp_s: float) -> None:
        now_s = self._clock()
        if self._start_s is None:
            self._start_s = now_s - timestamp_s
        left_s = self._start_s + timestamp_s - now_s
        if left_s > MAX_PAUSE_S or left_s < -MAX_DELAY_S:
            left_s = min(max(0.0, left_s), MAX_PAUSE_S)
            self._start_s = now_s + left_s - timestamp_s
        due_s = now_s + left_s
        while (left_s := due_s - self._clock()) > 0:
            interrupts.check()
            self._sleep(min(left_s, interrupts.CHECK_S))

    def __exit__(self, *_: object) -> None:
        """Close the underlying source."""
        self._source.__exit__(None, None, None)
