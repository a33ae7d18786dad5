"""Scene cuts and changed regions."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from edgeinfer.detection.pyramid import Pyramid
from edgeinfer.geometry import Place, Region
from edgeinfer.tracking.template import correlation


class SceneMonitor:
    """Where to look: tells cuts and changed parts from a picture of 32x18 pixels, in which noise has averaged out."""

    SIZE = (32, 18)
    ALIKE = 0.6
    """Correlation of two frames below which a cut lies between them; movement leaves 0.7 and more."""
    CHANGED_LEVELS = 5.0
    """Difference from which a pixel has changed, in grey levels."""

    def __init__(self, steps: int) -> None:
        """Start without a scene.

        Args:
            steps: of the search, each of which has seen the scene at another time.
        """
        self._now = np.zeros(self.SIZE[::-1], np.float32)
        self._started = False
        self._searched = [np.full(self.SIZE[::-1], np.inf, np.float32) for _ in range(steps)]

    def cut(self, view: Pyramid) -> bool:
        """Take a frame; whether it shows another scene than the one before. The first one does."""
        now = view.thumbnail(self.SIZE).astype(np.float32)
        now -= np.median(now)  # the light of the whole scene may vary
        last, self._now = self._now, now
        first, self._started = not self._started, True
        return first or correlation(last, now) < self.ALIKE

    def news(self, step: int, view: Pyramid, known: Iterable[Place]) -> Region | None:
        """What has changed since a step searched there, apart from known faces; it counts as searched.

        Returns:
            The part of the frame that is worth searching, None for nothing.
        """
        searched = self._searched[step]
        changed = np.abs(self._now - searched) > self.CHANGED_LEVELS
        for place in known:
            changed[self._cells(place, view)] = False
        columns, rows = self.SIZE
        ys, xs = np.nonzero(changed)
        if not len(xs):
            return None
        left, right = max(0, int(xs.min()) - 2), min(columns, int(xs.max()) + 3)
        top, bottom = max(0, int(ys.min()) - 2), min(rows, int(ys.max()) + 3)
        searched[top:bottom, left:right] = self._now[top:bottom, left:right]
        return left / columns, top / rows, right / columns, bottom / rows

    def _cells(self, place: Place, view: Pyramid) -> tuple[slice, slice]:
        """Rows and columns of a face and a little around it."""
        (wide, high), (columns, rows) = view.size_wh, self.SIZE
        left, right = (max(0, round((place.x + k * place.w) * columns / wide)) for k in (-0.7, 0.7))
        top, bottom = (max(0, round((place.y + k * place.h) * rows / high)) for k in (-0.7, 0.7))
        return slice(top, bottom), slice(left, right)

    def searched(self, step: int) -> None:
        """A step has searched the whole frame."""
        self._searched[step][:] = self._now
