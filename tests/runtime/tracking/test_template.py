from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgeinfer.detection.pyramid import Pyramid
from edgeinfer.geometry import Place
from edgeinfer.results import Box, Image
from edgeinfer.tracking.scene import SceneMonitor
from edgeinfer.tracking.template import correlation, estimate_scale, extract_patch, follow
from tools.world import texture

PLACE = Place(128.0, 110.0, 112.0, 112.0)


def shifted(image: Image, x: float, y: float, zoom: float = 1.0) -> Pyramid:
    place = np.array([[zoom, 0, x + 128 * (1 - zoom)], [0, zoom, y + 110 * (1 - zoom)]])
    return Pyramid(np.asarray(cv2.warpAffine(image, place, (256, 256), borderMode=cv2.BORDER_REPLICATE), np.uint8))


@pytest.mark.parametrize(("x", "y"), [(0, 0), (3.5, -2), (-14, 9), (25, 0)])
def test_a_patch_is_found_where_it_went(portrait: Image, x: float, y: float) -> None:
    found, fit = follow(shifted(portrait, x, y), extract_patch(Pyramid(portrait), PLACE), PLACE)
    assert (found.x - PLACE.x, found.y - PLACE.y) == pytest.approx((x, y), abs=0.7)
    assert fit > 0.95


def test_another_picture_does_not_fit(portrait: Image) -> None:
    ground = Pyramid(texture(0, (256, 256)))
    assert follow(ground, extract_patch(Pyramid(portrait), PLACE), PLACE)[1] < 0.6


def test_a_face_half_out_of_the_frame_is_followed_by_the_other_half(portrait: Image) -> None:
    patch, cut_off = extract_patch(Pyramid(portrait), PLACE), Pyramid(np.ascontiguousarray(portrait[:, 120:]))
    found, fit = follow(cut_off, patch, PLACE.moved(-117, 2))
    assert (found.x, found.y) == pytest.approx((8, 110), abs=1.5)
    assert fit > 0.9


def test_what_has_no_texture_stays() -> None:
    grey = Pyramid(np.full((60, 80), 90, np.uint8))
    place = Place(30, 30, 20, 20)
    assert follow(grey, extract_patch(grey, place), place) == (place, 1.0)


@pytest.mark.parametrize(("zoom", "says"), [(1.0, 1.0), (1.06, 1.05), (0.94, 0.95)])
def test_growth_is_told(portrait: Image, zoom: float, says: float) -> None:
    assert estimate_scale(shifted(portrait, 0, 0, zoom), extract_patch(Pyramid(portrait), PLACE), PLACE) == says


def test_places_and_boxes_are_the_same_up_to_rounding() -> None:
    box = Box(3, 4, 21, 30)
    assert Place.of(box).box() == box
    assert Place.of(box).iou(Place.of(Box(8, 4, 21, 30))) == pytest.approx(box.iou(Box(8, 4, 21, 30)))


def test_likeness_does_not_mind_light(portrait: Image) -> None:
    patch = extract_patch(Pyramid(portrait), PLACE)
    assert correlation(patch, np.asarray(patch * 0.5 + 20, np.uint8)) > 0.99


def noisy(image: Image, seed: int) -> Pyramid:
    random = np.random.default_rng(seed)
    return Pyramid(np.clip(image + random.normal(0, 8, image.shape), 0, 255).astype(np.uint8))


def test_a_cut_is_told_from_noise_movement_and_light() -> None:
    scene, ground = SceneMonitor(1), texture(1)
    looks = [ground, ground, np.roll(ground, 12, axis=1), np.asarray(ground * 0.7, np.uint8), texture(2), texture(2)]
    assert [scene.cut(noisy(image, n)) for n, image in enumerate(looks)] == [True, False, False, False, True, False]


def test_only_what_changed_is_news() -> None:
    scene, ground = SceneMonitor(2), texture(1)
    scene.cut(noisy(ground, 0))
    scene.searched(0)
    scene.cut(noisy(ground, 1))
    assert scene.news(0, noisy(ground, 1), []) is None
    assert scene.news(1, noisy(ground, 1), []) == (0, 0, 1, 1)  # a step that has not searched yet
    changed = ground.copy()
    changed[120:200, 300:380] //= 3
    scene.cut(noisy(changed, 2))
    left, top, right, bottom = scene.news(0, noisy(changed, 2), []) or (0, 0, 0, 0)
    assert 0.4 < left < 300 / 480 < 380 / 480 < right < 1
    assert 0.2 < top < 120 / 270 < 200 / 270 < bottom < 1
    assert scene.news(0, noisy(changed, 2), []) is None  # it counts as searched
    scene.searched(1)
    scene.cut(noisy(ground, 3))
    assert scene.news(1, noisy(ground, 3), [Place(340, 160, 90, 90)]) is None  # a known face
