"""Presentation times of the frames of a video file."""

from __future__ import annotations

import math

DEFAULT_FPS = 30.0
"""Frame rate for a video with neither timestamps nor a declared rate."""
MAX_FPS = 240.0
"""Highest plausible frame rate. Containers declare 1000 or 90000 if they store only the unit of their clock."""
MAX_STEP_BACK_S = 1.0
"""Largest step back due to frame reordering, in seconds; a larger one is treated as a restart of the clock."""
MAX_GAP_S = 86_400.0
"""Largest gap between two frames, in seconds; a larger one is treated as a damaged timestamp."""
_SMALLEST_STEP_S = 0.001


def plausible_fps(stated: float) -> float | None:
    """Return a declared frame rate, or None if it is missing or implausible."""
    return stated if 0 < stated <= MAX_FPS else None


class PresentationClock:
    """Increasing presentation times from the timestamps of a container."""

    def __init__(self, fps: float | None) -> None:
        """Create a clock.

        Args:
            fps: Frame rate for frames without a timestamp, or None if it is unknown.
        """
        self._interval_s = 1 / (fps or DEFAULT_FPS)
        self._shift_s = self._last_s = 0.0
        self._last_index: int | None = None

    @property
    def end_s(self) -> float:
        """End of the last frame in seconds, or 0 before the first one."""
        return 0.0 if self._last_index is None else self._last_s + self._interval_s

    def time_s(self, index: int, stated_s: float) -> float:
        """Return the presentation time of the next frame, later than that of the previous one.

        Args:
            index: Number of the frame, damaged ones included.
            stated_s: Timestamp of the container in seconds; 0 or less if there is none.
        """
        if self._last_index is None:
            time_s = stated_s if 0 < stated_s < math.inf else 0.0
        else:
            time_s = self._following(stated_s, (index - self._last_index) * self._interval_s)
        self._last_index, self._last_s = index, time_s
        return time_s

    def _following(self, stated_s: float, elapsed_s: float) -> float:
        step_s = stated_s + self._shift_s - self._last_s
        if 0 < step_s <= MAX_GAP_S:
            return self._last_s + step_s
        if stated_s <= 0 or not step_s <= MAX_GAP_S:
            return self._last_s + elapsed_s
        if -step_s > MAX_STEP_BACK_S:
            self._shift_s += elapsed_s - step_s
            return self._last_s + elapsed_s
        return self._last_s + _SMALLEST_STEP_S
