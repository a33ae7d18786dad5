"""Presentation times of the frames in a video with one timestamp per frame."""

from __future__ import annotations

import math

from edgeinfer.outputs.constant_rate import MAX_STEP_BACK_S

TICKS_PER_S = 24_000
"""Resolution of timestamps: exact at 24, 25, 30, 50 and 60 frames per second. A gap of a day fits into the 31 bits that
the MP4 format has for it."""
MAX_GAP_S = 86_400.0
"""Longest gap between two frames, in seconds; a longer one is treated as a damaged timestamp."""
MAX_START_S = 1e10
"""Latest first timestamp, in seconds; times of day and dates are below it, damaged timestamps above."""
MIN_STEP_TICKS = TICKS_PER_S // 1000
"""Shortest step between two frames, in ticks: the resolution of Matroska."""


class PresentationTimes:
    """Increasing timestamps, equal to those of the source as long as these are plausible."""

    def __init__(self, interval_s: float) -> None:
        """Begin a video.

        Args:
            interval_s: Nominal interval between two frames in seconds, used where the source's clock starts again.
        """
        self._interval_s, self._shift_s = interval_s, 0.0
        self._expected_s, self._earliest = 0.0, 0
        self._range_s = (0.0, MAX_START_S)

    def place(self, time_s: float) -> int:
        """Return the timestamp of the next frame in ticks, later than that of the previous one.

        Args:
            time_s: Presentation time in the source, in seconds.
        """
        step_s = time_s + self._shift_s - self._expected_s
        if not math.isfinite(step_s):
            step_s = 0.0
        elif not self._range_s[0] <= step_s <= self._range_s[1]:
            self._shift_s -= step_s
            step_s = 0.0
        ticks = max(round((self._expected_s + step_s) * TICKS_PER_S), self._earliest)
        self._earliest = ticks + MIN_STEP_TICKS
        self._expected_s = ticks / TICKS_PER_S + self._interval_s
        self._range_s = (-MAX_STEP_BACK_S - self._interval_s, MAX_GAP_S)
        return ticks
