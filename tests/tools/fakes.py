"""Fake detector and source with prepared outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Self

from edgeinfer.results import Box, Frame, Image


class FakeDetector:
    """Detector that returns one prepared list of boxes per call, and the last list from then on.

    Attributes:
        results: Prepared lists of boxes.
        calls: Number of calls so far.
        estimates_pose: True if a box has a pose.
    """

    def __init__(self, *results: Sequence[Box]) -> None:
        self.results, self.calls = [list(boxes) for boxes in results], 0
        self.estimates_pose = any(box.pose for boxes in results for box in boxes)

    def detect(self, image: Image) -> list[Box]:
        self.calls += 1
        return self.results[min(self.calls, len(self.results)) - 1]


class FakeSource:
    """Source that yields prepared pictures, then ends or raises an error."""

    def __init__(self, images: Sequence[Image], *, fps: float = 30.0, error: BaseException | None = None) -> None:
        self.name, self.live, self.continuous = "fake", error is not None, True
        self.fps: float | None = fps
        self.frame_count: int | None = len(images)
        self.dropped = self.skipped = 0
        self._images, self._error, self.closed = images, error, False

    def __iter__(self) -> Iterator[Frame]:
        for index, image in enumerate(self._images):
            yield Frame(image, index, index / (self.fps or 30.0))
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True
