"""Template matching of faces between frames."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeinfer.detection.pyramid import Pyramid
from edgeinfer.geometry import Place
from edgeinfer.results import Image

TEMPLATE_PIXELS = 20
"""Side of a template in pixels."""
REACH_PIXELS = 7
"""Distance searched around the predicted position on each side, in template pixels: a third of the face."""
INNER_SHARE = 0.8
"""Template side as a share of the face side; the rest is hair and background."""
MIN_SCALE_GAIN = 0.02
"""Minimum gain in correlation for a change of scale: smaller gains are random, and random steps accumulate."""
FLAT_DEVIATION = 2.0
"""Standard deviation in grey levels below which a picture has no texture to match."""


def extract_template(pyramid: Pyramid, place: Place) -> Image:
    """Return the inner part of a face for later matching, (20, 20) uint8."""
    return pyramid.patch(place.x, place.y, INNER_SHARE * place.side, TEMPLATE_PIXELS)


def correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the normalised correlation of two pictures of equal size, -1..1; 1 for two flat pictures.

    Args:
        one: (H, W) uint8 or float32.
        other: Picture of the same shape.
    """
    deviations, others = _deviations(one), _deviations(other)
    power, other_power = float(deviations.dot(deviations)), float(others.dot(others))
    flat_power = FLAT_DEVIATION**2 * one.size
    if min(power, other_power) < flat_power:
        return float(max(power, other_power) < flat_power)
    return float(deviations.dot(others)) / math.sqrt(power * other_power)


def match_template(pyramid: Pyramid, template: Image, predicted: Place) -> tuple[Place, float]:
    """Search for a template around a predicted position (normalised cross-correlation, Lewis 1995).

    Args:
        pyramid: Frame to search.
        template: From `extract_template`.
        predicted: Expected position and size of the face.

    Returns:
        The position with the highest correlation, to a fraction of a pixel, and that correlation, -1..1. A template
        without texture keeps its predicted position, with a correlation of 1 if the frame is also flat there.
        If less than a third of the template lies inside the frame, the result is the prediction and 0.
    """
    window_pixels = TEMPLATE_PIXELS + 2 * REACH_PIXELS
    step = INNER_SHARE * predicted.side / TEMPLATE_PIXELS
    window = pyramid.patch(predicted.x, predicted.y, step * window_pixels, window_pixels)
    top, bottom, left, right = _visible_part(pyramid, predicted, step)
    if (bottom - top) * (right - left) < TEMPLATE_PIXELS**2 / 3:
        return predicted, 0.0
    visible = template[top:bottom, left:right]
    scores = cv2.matchTemplate(
        window[top : bottom + 2 * REACH_PIXELS, left : right + 2 * REACH_PIXELS], visible, cv2.TM_CCOEFF_NORMED
    )
    _, best, _, (column, row) = cv2.minMaxLoc(scores)
    if not 0 < best < 0.9999 and template.std() < FLAT_DEVIATION:
        return predicted, correlation(template, window)
    x = column + _parabola_peak(scores[row], column) - REACH_PIXELS
    y = row + _parabola_peak(scores[:, column], row) - REACH_PIXELS
    return predicted.moved(x * step, y * step), best


def estimate_scale(pyramid: Pyramid, template: Image, place: Place) -> float:
    """Return the scale among 0.95, 1 and 1.05 at which a template fits best at its position."""
    scores = {
        zoom: correlation(template, extract_template(pyramid, place.moved(0, 0, zoom))) for zoom in (1.0, 0.95, 1.05)
    }
    best = max(scores, key=lambda zoom: scores[zoom])
    return best if scores[best] > scores[1.0] + MIN_SCALE_GAIN else 1.0


def _visible_part(pyramid: Pyramid, place: Place, step: float) -> tuple[int, int, int, int]:
    """Return the top, bottom, left and right of the part of a template that lies inside the frame, in its pixels."""
    half = step * TEMPLATE_PIXELS / 2
    edges = []
    for centre, length in ((place.y, pyramid.size_wh[1]), (place.x, pyramid.size_wh[0])):
        before = max(0, round((half - centre) / step))
        after = max(0, round((centre + half - length) / step))
        edges += [min(before, TEMPLATE_PIXELS), max(0, TEMPLATE_PIXELS - after)]
    return edges[0], edges[1], edges[2], edges[3]


def _parabola_peak(values: NDArray[Any], peak: int) -> float:
    """Return the offset of the vertex of the parabola through a peak and its two neighbours, -0.5..0.5."""
    if not 0 < peak < len(values) - 1:
        return 0.0
    before, here, after = float(values[peak - 1]), float(values[peak]), float(values[peak + 1])
    curvature = before - 2 * here + after
    return 0.0 if curvature >= 0 else max(-0.5, min(0.5, 0.5 * (before - after) / curvature))


def _deviations(picture: NDArray[Any]) -> NDArray[np.float32]:
    """Return the differences of the pixels from their mean, (H * W,); its methods take longer on small pictures."""
    values = picture.ravel().astype(np.float32)
    values -= np.add.reduce(values) / len(values)
    return values
