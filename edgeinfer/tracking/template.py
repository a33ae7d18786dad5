"""Where a face went since the last frame, and whether the scene is still the same."""

from __future__ import annotations

from typing import Any

import cv2
from numpy.typing import NDArray

from edgeinfer.detection.pyramid import Pyramid
from edgeinfer.geometry import Place
from edgeinfer.results import Image

PATCH_PIXELS = 20
REACH_PIXELS = 7
"""How far a patch is searched around its predicted place, in its own pixels: a third of the face."""
INNER = 0.8
"""Side of the patch as a share of the face's: the rest is hair and background."""
CLEARLY_BETTER = 0.02
"""How much better another size must fit, as a correlation: less is chance, and chance adds up."""
_FLAT = 2.0


def extract_patch(view: Pyramid, place: Place) -> Image:
    """What a face looks like, to find it again: (20, 20) uint8."""
    return view.patch(place.x, place.y, INNER * place.side, PATCH_PIXELS)


def correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Normalised correlation of two pictures of a size, uint8 or float32, -1..1; flat ones are alike."""
    if min(one.std(), other.std()) < _FLAT:
        return float(max(one.std(), other.std()) < _FLAT)
    return float(cv2.matchTemplate(one, other, cv2.TM_CCOEFF_NORMED)[0, 0])


def follow(view: Pyramid, patch: Image, place: Place) -> tuple[Place, float]:
    """Search a patch around a predicted place (normalised cross-correlation, Lewis 1995).

    Args:
        view: the frame.
        patch: from `extract_patch`.
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
        return place, correlation(patch, around)
    x = column + _vertex(fits[row], column) - REACH_PIXELS
    y = row + _vertex(fits[:, column], row) - REACH_PIXELS
    return place.moved(x * step, y * step), best


def _in_view(view: Pyramid, place: Place, step: float) -> tuple[int, int, int, int]:
    """Rows and columns of a patch that lie inside the frame: top, bottom, left, right."""
    half = step * PATCH_PIXELS / 2
    edges = []
    for centre, length in ((place.y, view.size_wh[1]), (place.x, view.size_wh[0])):
        before = max(0, round((half - centre) / step))
        after = max(0, round((centre + half - length) / step))
        edges += [min(before, PATCH_PIXELS), max(0, PATCH_PIXELS - after)]
    return edges[0], edges[1], edges[2], edges[3]


def estimate_scale(view: Pyramid, patch: Image, place: Place) -> float:
    """Which of three sizes fits a patch best where it is: 1 or a little more or less."""
    fits = {zoom: correlation(patch, extract_patch(view, place.moved(0, 0, zoom))) for zoom in (1.0, 0.95, 1.05)}
    best = max(fits, key=lambda zoom: fits[zoom])
    return best if fits[best] > fits[1.0] + CLEARLY_BETTER else 1.0


def _vertex(values: NDArray[Any], peak: int) -> float:
    """Where the parabola through a peak and its neighbours is highest, -0.5..0.5 beside the peak."""
    if not 0 < peak < len(values) - 1:
        return 0.0
    before, here, after = float(values[peak - 1]), float(values[peak]), float(values[peak + 1])
    bend = before - 2 * here + after
    return 0.0 if bend >= 0 else max(-0.5, min(0.5, 0.5 * (before - after) / bend))
