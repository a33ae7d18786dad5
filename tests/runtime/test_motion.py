from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgeinfer.motion import Place, SceneWatch, follow, likeness, look_of, zoom_of
from edgeinfer.preprocess import Image
from edgeinfer.results import Box
from edgeinfer.view import View
from tools.world import texture

PLACE = Place(128.0, 110.0, 112.0, 112.0)


def shifted(image: Image, x: float, y: float, zoom: float = 1.0) -> View:
    place = np.array([[zoom, 0, x + 128 * (1 - zoom)], [0, zoom, y + 110 * (1 - zoom)]])
    return View(np.asarray(cv2.warpAffine(image, place, (256, 256), borderMode=cv2.BORDER_REPLICATE), np.uint8))


@pytest.mark.parametrize(("x", "y"), [(0, 0), (3.5, -2), (-14, 9), (25, 0)])
def test_a_patch_is_found_where_it_went(portrait: Image, x: float, y: float) -> None:
    found, fit = follow(shifted(portrait, x, y), look_of(View(portrait), PLACE), PLACE)
    assert (found.x - PLACE.x, found.y - PLACE.y) == pytest.approx((x, y), abs=0.7)
    assert fit > 0.95


def test_another_picture_does_not_fit(portrait: Image) -> None:
    ground = View(texture(0, (256, 256)))
    assert follow(ground, look_of(View(portrait), PLACE), PLACE)[1] < 0.6


def test_a_face_half_out_of_the_frame_is_followed_by_the_other_half(portrait: Image) -> None:
    patch, cut_off = look_of(View(portrait), PLACE), View(np.ascontiguousarray(portrait[:, 120:]))
    found, fit = follow(cut_off, patch, PLACE.moved(-117, 2))
    assert (found.x, found.y) == pytest.approx((8, 110), abs=1.5)
    assert fit > 0.9


def test_what_has_no_texture_stays() -> None:
    grey = View(np.full((60, 80), 90, np.uint8))
    place = Place(30, 30, 20, 20)
    assert follow(grey, look_of(grey, place), place) == (place, 1.0)


@pytest.mark.parametrize(("zoom", "says"), [(1.0, 1.0), (1.06, 1.05), (0.94, 0.95)])
def test_growth_is_told(portrait: Image, zoom: float, says: float) -> None:
    assert zoom_of(shifted(portrait, 0, 0, zoom), look_of(View(portrait), PLACE), PLACE) == says


def test_places_and_boxes_are_the_same_up_to_rounding() -> None:
    box = Box(3, 4, 21, 30)
    assert Place.of(box).box() == box
    assert Place.of(box).iou(Place.of(Box(8, 4, 21, 30))) == pytest.approx(box.iou(Box(8, 4, 21, 30)))


def test_likeness_does_not_mind_light(portrait: Image) -> None:
    patch = look_of(View(portrait), PLACE)
    assert likeness(patch, np.asarray(patch * 0.5 + 20, np.uint8)) > 0.99


def noisy(image: Image, seed: int) -> View:
    random = np.random.default_rng(seed)
    return View(np.clip(image + random.normal(0, 8, image.shape), 0, 255).astype(np.uint8))


def test_a_cut_is_told_from_noise_movement_and_light() -> None:
    scene, ground = SceneWatch(1), texture(1)
    looks = [ground, ground, np.roll(ground, 12, axis=1), np.asarray(ground * 0.7, np.uint8), texture(2), texture(2)]
    assert [scene.cut(noisy(image, n)) for n, image in enumerate(looks)] == [True, False, False, False, True, False]


def test_only_what_changed_is_news() -> None:
    scene, ground = SceneWatch(2), texture(1)
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
