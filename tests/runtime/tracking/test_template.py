from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgeinfer.detection.pyramid import Pyramid
from edgeinfer.geometry import Place
from edgeinfer.results import Box, Image
from edgeinfer.tracking.template import correlation, estimate_scale, extract_template, match_template
from tools.world import texture

PLACE = Place(128.0, 110.0, 112.0, 112.0)


def shifted(image: Image, x: float, y: float, zoom: float = 1.0) -> Pyramid:
    matrix = np.array([[zoom, 0, x + 128 * (1 - zoom)], [0, zoom, y + 110 * (1 - zoom)]])
    return Pyramid(np.asarray(cv2.warpAffine(image, matrix, (256, 256), borderMode=cv2.BORDER_REPLICATE), np.uint8))


@pytest.mark.parametrize(("x", "y"), [(0, 0), (3.5, -2), (-14, 9), (25, 0)])
def test_template_is_found_at_its_new_position(portrait: Image, x: float, y: float) -> None:
    found, score = match_template(shifted(portrait, x, y), extract_template(Pyramid(portrait), PLACE), PLACE)
    assert (found.x - PLACE.x, found.y - PLACE.y) == pytest.approx((x, y), abs=0.7)
    assert score > 0.95


def test_template_does_not_match_the_background(portrait: Image) -> None:
    background = Pyramid(texture(0, (256, 256)))
    assert match_template(background, extract_template(Pyramid(portrait), PLACE), PLACE)[1] < 0.6


def test_face_half_outside_the_frame_is_matched_by_its_visible_half(portrait: Image) -> None:
    template, cut_off = extract_template(Pyramid(portrait), PLACE), Pyramid(np.ascontiguousarray(portrait[:, 120:]))
    found, score = match_template(cut_off, template, PLACE.moved(-117, 2))
    assert (found.x, found.y) == pytest.approx((8, 110), abs=1.5)
    assert score > 0.9


def test_template_without_texture_keeps_its_position() -> None:
    grey = Pyramid(np.full((60, 80), 90, np.uint8))
    place = Place(30, 30, 20, 20)
    assert match_template(grey, extract_template(grey, place), place) == (place, 1.0)


@pytest.mark.parametrize(("zoom", "expected"), [(1.0, 1.0), (1.06, 1.05), (0.94, 0.95)])
def test_scale_is_estimated(portrait: Image, zoom: float, expected: float) -> None:
    template = extract_template(Pyramid(portrait), PLACE)
    assert estimate_scale(shifted(portrait, 0, 0, zoom), template, PLACE) == expected


def test_place_and_box_convert_into_each_other() -> None:
    box = Box(3, 4, 21, 30)
    assert Place.of(box).box() == box
    assert Place.of(box).iou(Place.of(Box(8, 4, 21, 30))) == pytest.approx(box.iou(Box(8, 4, 21, 30)))


def test_correlation_is_independent_of_brightness(portrait: Image) -> None:
    template = extract_template(Pyramid(portrait), PLACE)
    assert correlation(template, np.asarray(template * 0.5 + 20, np.uint8)) > 0.99


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_correlation_is_that_of_opencv(dtype: type[np.uint8] | type[np.float32]) -> None:
    pictures = [texture(seed)[:100:5, :100:5, 0] for seed in (1, 2)]
    one, other = pictures if dtype is np.uint8 else [picture.astype(np.float32) for picture in pictures]
    expected = cv2.matchTemplate(one, other, cv2.TM_CCOEFF_NORMED)[0, 0]
    assert correlation(one, other) == pytest.approx(float(expected), abs=1e-5)


def test_flat_pictures_correlate_only_with_each_other(portrait: Image) -> None:
    template = extract_template(Pyramid(portrait), PLACE)
    flat = np.full_like(template, 90)
    assert [correlation(flat, flat + 7), correlation(flat, template)] == [1.0, 0.0]
