"""Scene cuts and changed regions."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from edgeinfer.detection.pyramid import Pyramid
from edgeinfer.geometry import Place, Region
from edgeinfer.results import Image
from edgeinfer.tracking.template import correlation


class SceneMonitor:
    """Detector of scene cuts and changed regions, on thumbnails of 32x18 pixels, in which noise is averaged out."""

    SIZE_WH = (32, 18)
    MIN_CORRELATION = 0.6
    """Correlation of two successive frames below which there is a cut between them; motion leaves at least 0.7."""
    MIN_CHANGE = 5.0
    """Difference in grey levels above which a pixel has changed."""
    MARGIN_PIXELS = 2
    """Pixels of the thumbnail by which a changed region is extended on each side."""

    def __init__(self, steps: int) -> None:
        """Create a monitor without a scene.

        Args:
            steps: Number of steps of the search. Changes are recorded for each step since its own last run.
        """
        self._now = np.zeros(self.SIZE_WH[::-1], np.float32)
        self._started = False
        self._searched = [np.full(self.SIZE_WH[::-1], np.inf, np.float32) for _ in range(steps)]

    def update(self, pyramid: Pyramid) -> bool:
        """Add a frame; return True if it starts a new scene, as the first one does."""
        thumbnail = pyramid.thumbnail(self.SIZE_WH)
        now = thumbnail.astype(np.float32)
        now -= _median(thumbnail)  # compensates changes in brightness
        last, self._now = self._now, now
        first, self._started = not self._started, True
        return first or correlation(last, now) < self.MIN_CORRELATION

    def changed_region(self, step: int, pyramid: Pyramid, tracked: Iterable[Place]) -> Region | None:
        """Return the region that changed since a step last searched it, outside tracked faces, and mark it as searched.

        Returns:
            The region to search, or None if nothing changed.
        """
        searched = self._searched[step]
        changed = np.abs(self._now - searched) > self.MIN_CHANGE
        for place in tracked:
            changed[self._covered_cells(place, pyramid)] = False
        columns, rows = self.SIZE_WH
        ys, xs = np.nonzero(changed)
        if not len(xs):
            return None
        margin = self.MARGIN_PIXELS
        left, right = max(0, int(xs.min()) - margin), min(columns, int(xs.max()) + 1 + margin)
        top, bottom = max(0, int(ys.min()) - margin), min(rows, int(ys.max()) + 1 + margin)
        searched[top:bottom, left:right] = self._now[top:bottom, left:right]
        return left / columns, top / rows, right / columns, bottom / rows

    def mark_searched(self, step: int) -> None:
        """Record that a step has searched the full frame."""
        self._searched[step][:] = self._now

    def _covered_cells(self, place: Place, pyramid: Pyramid) -> tuple[slice, slice]:
        """Return the rows and columns of the thumbnail that a face covers, with 20 % of its size around it."""
        (width, height), (columns, rows) = pyramid.size_wh, self.SIZE_WH
        left, right = (max(0, round((place.x + k * place.w) * columns / width)) for k in (-0.7, 0.7))
        top, bottom = (max(0, round((place.y + k * place.h) * rows / height)) for k in (-0.7, 0.7))
        return slice(top, bottom), slice(left, right)


def _median(picture: Image) -> float:
    """Return the median of an even number of pixels; `numpy.median` takes several times as long on a thumbnail."""
    middle = picture.size // 2
    ordered = np.partition(picture, (middle - 1, middle), axis=None)
    return (int(ordered[middle - 1]) + int(ordered[middle])) / 2
