"""Placement of frames with timestamps in a video with a constant frame rate."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

DEFAULT_FPS = 30.0
"""Frame rate of a video if neither the source nor the timestamps define one, in frames per second."""
MIN_FPS = 1.0
MAX_FPS = 60.0
"""Highest frame rate that is derived from timestamps; a source with a higher rate reports it."""
MAX_GAP_S = 300.0
"""Longest gap between two frames that the video reproduces; a longer one is shortened to it."""
MAX_LEAD_S = 10.0
"""Latest first timestamp that the video reproduces; after a later one, the video begins with the first frame."""
MAX_STEP_BACK_S = 1.0
"""Step back in time after which the timestamps are assumed to start again."""
_REGULAR = 1.5
_LIVE_HEADROOM = 2.0
_MIN_LIVE_FPS = 10.0


class ConstantRate:
    """Assignment of frames to video slots, so that the video keeps the timing of the source.

    Attributes:
        fps: Slots per second.
        shortened_s: Seconds by which gaps were shortened so far.
    """

    def __init__(self, fps: float, first_s: float) -> None:
        """Begin a video.

        Args:
            fps: Slots per second.
            first_s: Timestamp of the first frame in seconds.
        """
        self.fps, self.shortened_s = fps, 0.0
        self._origin_s = 0.0 if first_s <= MAX_LEAD_S else first_s
        self._next = 0

    def place(self, time_s: float) -> int | None:
        """Return the slot of the next frame, at most one slot from its time, or None to leave the frame out."""
        exact = (time_s - self._origin_s) * self.fps
        if exact < self._next - MAX_STEP_BACK_S * self.fps:
            exact = self._begin_again(time_s)
        slot = max(round(exact), self._next)
        if slot - exact > 1:
            return None
        last_allowed = self._next + round(MAX_GAP_S * self.fps)
        if slot > last_allowed:
            excess_s = (slot - last_allowed) / self.fps
            self.shortened_s += excess_s
            self._origin_s += excess_s
            slot = last_allowed
        self._next = slot + 1
        return slot

    def _begin_again(self, time_s: float) -> float:
        self._origin_s = time_s - self._next / self.fps
        return float(self._next)


def choose_rate(nominal_fps: float | None, times_s: Sequence[float], *, live: bool) -> float:
    """Return the frame rate of a video that keeps the timing of a source.

    Args:
        nominal_fps: Frame rate reported by the source, or None if it is unknown.
        times_s: Timestamps of the first frames in seconds.
        live: True if the source delivers in real time. If it is much slower than its nominal rate, a lower rate saves
            the encoding of repeated frames.
    """
    measured = _measured_fps(times_s)
    if measured is None:
        return encodable_rate(max(MIN_FPS, nominal_fps or DEFAULT_FPS))
    rate = min(max(MIN_FPS, measured), MAX_FPS)
    if nominal_fps is not None and measured <= 1.05 * nominal_fps:
        is_measured_lower = measured < nominal_fps / _LIVE_HEADROOM
        if is_measured_lower and (live or nominal_fps > MAX_FPS):
            rate = min(nominal_fps, max(_LIVE_HEADROOM * rate, _MIN_LIVE_FPS), MAX_FPS)
        else:
            rate = max(MIN_FPS, nominal_fps)
    return encodable_rate(rate)


def encodable_rate(fps: float) -> float:
    """Return the frame rate that OpenCV's writer uses for a requested one.

    It represents the rate as a fraction over a power of ten, with an error of at most 0.001 frames per second.
    """
    while True:
        base = 1
        while abs(int(fps * base + 0.5) / base - fps) > 0.001:
            base *= 10
        rounded = int(fps * base + 0.5) / base
        if rounded == fps:
            return fps
        fps = rounded


def _measured_fps(times_s: Sequence[float]) -> float | None:
    """Return the frame rate between gaps, or None if there are fewer than two different times."""
    steps_s = sorted(later - earlier for earlier, later in pairwise(times_s) if later > earlier)
    if not steps_s:
        return None
    regular_s = [step_s for step_s in steps_s if step_s <= _REGULAR * steps_s[len(steps_s) // 2]]
    return len(regular_s) / sum(regular_s)
