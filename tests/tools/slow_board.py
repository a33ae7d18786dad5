"""A simulated slow machine: a clock that only work advances, and a camera that drops frames."""

from __future__ import annotations

from collections.abc import Iterator

FPS = 25.0


class ManualTime:
    """Clock that advances by simulated work."""

    def __init__(self) -> None:
        self._now_s = 100.0

    def __call__(self) -> float:
        return self._now_s

    def work(self, seconds: float) -> None:
        self._now_s += seconds


def camera_times(clock: ManualTime, seconds: float, *, fps: float = FPS) -> Iterator[float]:
    """Yield the time of the newest frame each time, counted from the first one; wait if there is none."""
    start_s, index = clock(), -1
    while index < seconds * fps:
        index = max(index + 1, int((clock() - start_s) * fps))
        clock.work(max(0.0, start_s + index / fps - clock()))
        yield index / fps
