"""Where a face went since the last frame, and whether the scene is still the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeinfer.preprocess import Image
from edgeinfer.results import Box
from edgeinfer.view import View

PATCH_PIXELS = 20
REACH_PIXELS = 7
"""How far a patch is searched around its predicted place, in its own pixels: a third of the face."""
INNER = 0.8
"""Side of the patch as a share of the face's: the rest is hair and background."""
CLEARLY_BETTER = 0.02
"""How much better another size must fit, as a correlation: less is chance, and chance adds up."""
_FLAT = 2.0


@dataclass(frozen=True, slots=True)
class Place:
    """A face between pixels.

    Attributes:
        x: centre in pixels of the frame.
        y: centre.
        w: width in pixels.
        h: height in pixels.
    """

    x: float
    y: float
    w: float
    h: float

    @classmethod
    def of(cls, box: Box) -> Place:
        """The place of a box."""
        return cls(box.x + (box.w - 1) / 2, box.y + (box.h - 1) / 2, box.w, box.h)

    @property
    def side(self) -> float:
        """Side of the square of the same area, in pixels."""
        return float((self.w * self.h) ** 0.5)

    def box(self) -> Box:
        """The nearest box in whole pixels."""
        left, top = round(self.x - (self.w - 1) / 2), round(self.y - (self.h - 1) / 2)
        return Box(left, top, max(1, round(self.w)), max(1, round(self.h)))

    def moved(self, x: float, y: float, zoom: float = 1.0) -> Place:
        """The place so many pixels further, and so many times as large."""
        return Place(self.x + x, self.y + y, self.w * zoom, self.h * zoom)

    def towards(self, other: Place, share: float) -> Place:
        """Between this place (0) and another (1)."""
        mine = 1 - share
        return Place(mine * self.x + share * other.x, mine * self.y + share * other.y,
                     mine * self.w + share * other.w, mine * self.h + share * other.h)  # fmt: skip

    def iou(self, other: Place) -> float:
        """Intersection over union, 0..1."""
        common = self.common(other)
        return common / (self.w * self.h + other.w * other.h - common) if common else 0.0

    def common(self, other: Place) -> float:
        """Area of the intersection in square pixels."""
        wide = min(self.x + self.w / 2, other.x + other.w / 2) - max(self.x - self.w / 2, other.x - other.w / 2)
        high = min(self.y + self.h / 2, other.y + other.h / 2) - max(self.y - self.h / 2, other.y - other.h / 2)
        return wide * high if wide > 0 and high > 0 else 0.0


def look_of(view: View, place: Place) -> Image:
    """What a face looks like, to find it again: (20, 20) uint8."""
    return view.patch(place.x, place.y, INNER * place.side, PATCH_PIXELS)


def likeness(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Normalised correlation of two pictures of a size, uint8 or float32, -1..1; flat ones are alike."""
    if min(one.std(), other.std()) < _FLAT:
        return float(max(one.std(), other.std()) < _FLAT)
    return float(cv2.matchTemplate(one, other, cv2.TM_CCOEFF_NORMED)[0, 0])


def follow(view: View, patch: Image, place: Place) -> tuple[Place, float]:
    """Search a patch around a predicted place (normalised cross-correlation, Lewis 1995).

    Args:
        view: the frame.
        patch: from `look_of`.
        place: where it should be, at its size.

    Returns:
        Where it fits best and the correlation there, -1..1. A patch without any texture stays, with 1.
    """
    across = PATCH_PIXELS + 2 * REACH_PIXELS
    step = INNER * place.side / PATCH_PIXELS
    around = view.patch(place.x, place.y, step * across, across)
    top, bottom, left, right = _in_view(view, place, step)
    if (bottom - top) * (right - left) < PATCH_PIXELS**2 / 3:
        return place, 0.0
    seen = patch[top:bottom, left:right]
    fits = cv2.matchTemplate(
        around[top : bottom + 2 * REACH_PIXELS, left : right + 2 * REACH_PIXELS], seen, cv2.TM_CCOEFF_NORMED
    )
    _, best, _, (column, row) = cv2.minMaxLoc(fits)
    if not 0 < best < 0.9999 and patch.std() < _FLAT:
        return place, likeness(patch, around)
    x = column + _vertex(fits[row], column) - REACH_PIXELS
    y = row + _vertex(fits[:, column], row) - REACH_PIXELS
    return place.moved(x * step, y * step), best


def _in_view(view: View, place: Place, step: float) -> tuple[int, int, int, int]:
    """Rows and columns of a patch that lie inside the frame: top, bottom, left, right."""
    half = step * PATCH_PIXELS / 2
    edges = []
    for centre, length in ((place.y, view.size_wh[1]), (place.x, view.size_wh[0])):
        before = max(0, round((half - centre) / step))
        after = max(0, round((centre + half - length) / step))
        edges += [min(before, PATCH_PIXELS), max(0, PATCH_PIXELS - after)]
    return edges[0], edges[1], edges[2], edges[3]


def zoom_of(view: View, patch: Image, place: Place) -> float:
    """Which of three sizes fits a patch best where it is: 1 or a little more or less."""
    fits = {zoom: likeness(patch, look_of(view, place.moved(0, 0, zoom))) for zoom in (1.0, 0.95, 1.05)}
    best = max(fits, key=lambda zoom: fits[zoom])
    return best if fits[best] > fits[1.0] + CLEARLY_BETTER else 1.0


def _vertex(values: NDArray[Any], peak: int) -> float:
    """Where the parabola through a peak and its neighbours is highest, -0.5..0.5 beside the peak."""
    if not 0 < peak < len(values) - 1:
        return 0.0
    before, here, after = float(values[peak - 1]), float(values[peak]), float(values[peak + 1])
    bend = before - 2 * here + after
    return 0.0 if bend >= 0 else max(-0.5, min(0.5, 0.5 * (before - after) / bend))


Region = tuple[float, float, float, float]
"""A part of the frame: left, top, right, bottom as shares of its width and height, 0..1."""
WHOLE: Region = (0.0, 0.0, 1.0, 1.0)


class SceneWatch:
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

    def cut(self, view: View) -> bool:
        """Take a frame; whether it shows another scene than the one before. The first one does."""
        now = view.thumbnail(self.SIZE).astype(np.float32)
        now -= np.median(now)  # the light of the whole scene may vary
        last, self._now = self._now, now
        first, self._started = not self._started, True
        return first or likeness(last, now) < self.ALIKE

    def news(self, step: int, view: View, known: Iterable[Place]) -> Region | None:
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

    def _cells(self, place: Place, view: View) -> tuple[slice, slice]:
        """Rows and columns of a face and a little around it."""
        (wide, high), (columns, rows) = view.size_wh, self.SIZE
        left, right = (max(0, round((place.x + k * place.w) * columns / wide)) for k in (-0.7, 0.7))
        top, bottom = (max(0, round((place.y + k * place.h) * rows / high)) for k in (-0.7, 0.7))
        return slice(top, bottom), slice(left, right)

    def searched(self, step: int) -> None:
        """A step has searched the whole frame."""
        self._searched[step][:] = self._now
