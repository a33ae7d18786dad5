from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinfer import HaarDetector, load_pipeline
from edgeinfer.detection import stills
from edgeinfer.detection.cascade_files import load_cascade
from edgeinfer.detection.stills import StillSearch, without_duplicates
from edgeinfer.geometry import Place
from edgeinfer.results import Box, Image

FACE = Box(77, 55, 112, 112)
"""Position of the face in the portrait, measured by eye."""


def grey_of(image: Image) -> Image:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)


def texture(seed: int, blur: float) -> Image:
    """Return (256, 256) grey noise in which the default cascade finds a face."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal((256, 256)), (0, 0), blur)
    return np.asarray(np.clip(128 + 60 * noise / noise.std(), 0, 255), np.uint8)


@pytest.mark.parametrize("scale", [0.4, 1.0, 3.0])
def test_a_face_of_any_size_gives_one_box(portrait: Image, scale: float) -> None:
    boxes = HaarDetector().detect_still(np.asarray(cv2.resize(portrait, None, fx=scale, fy=scale), np.uint8))
    assert len(boxes) == 1
    scaled = Box(*(round(scale * value) for value in FACE.xywh))
    assert boxes[0].iou(scaled) > 0.5


def test_grey_and_colour_give_the_same_boxes(portrait: Image) -> None:
    detector = HaarDetector()
    assert detector.detect_still(grey_of(portrait)) == detector.detect_still(portrait)


@pytest.mark.parametrize("image", [np.zeros((8, 8), np.uint8), np.zeros((40, 3000), np.uint8)], ids=["tiny", "wide"])
def test_picture_without_room_for_a_face_gives_nothing(image: Image) -> None:
    assert HaarDetector().detect_still(image) == []


@pytest.mark.parametrize(("seed", "blur"), [(7, 5.0), (10, 3.0)])
def test_false_faces_of_the_default_cascade_are_rejected(portrait: Image, seed: int, blur: float) -> None:
    picture, detector = np.hstack([texture(seed, blur), grey_of(portrait)]), HaarDetector()
    assert any(box.x < 256 for box in detector.detect(picture))
    boxes = detector.detect_still(picture)
    assert len(boxes) == 1
    assert boxes[0].iou(Box(FACE.x + 256, *FACE.xywh[1:])) > 0.5


def test_strips_find_what_the_whole_picture_has(portrait: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    column = np.vstack([portrait[:, 60:210]] * 6)
    whole = HaarDetector().detect_still(column)
    monkeypatch.setattr(stills, "STRIP_PIXELS", 1)
    strips = HaarDetector().detect_still(column)
    assert len(whole) == len(strips) == 6
    assert all(max(box.iou(other) for other in whole) > 0.6 for box in strips)


def test_profiles_to_both_sides_are_placed_in_the_picture(portrait: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    frontal = load_cascade(None)
    search = StillSearch(frontal)
    monkeypatch.setattr(stills, "MIN_SCORE", 1000.0)  # no frontal face is good enough
    monkeypatch.setattr(search, "_profile", frontal)  # finds the portrait, and the mirrored portrait
    boxes = search.detect(grey_of(portrait))
    assert len(boxes) == 1
    smaller = Place.of(FACE).moved(0, 0, 0.8)
    assert Place.of(boxes[0]).iou(smaller) > 0.6
    monkeypatch.setattr(stills, "MIN_PROFILE_HITS", 1000)
    assert search.detect(grey_of(portrait)) == []


@pytest.mark.parametrize(
    ("boxes", "kept"),
    [
        pytest.param([(0, 0, 40, 40), (4, 4, 40, 40)], 1, id="shifted"),
        pytest.param([(0, 0, 90, 90), (30, 30, 20, 20)], 1, id="inside"),
        pytest.param([(0, 0, 40, 40), (30, 0, 40, 40)], 2, id="neighbours"),
        pytest.param([], 0, id="none"),
    ],
)
def test_duplicates_are_removed_and_neighbours_kept(boxes: list[Any], kept: int) -> None:
    found = [Box(*box) for box in boxes]
    assert without_duplicates(found) == found[:kept]


def test_custom_options_search_as_for_frames(portrait: Image) -> None:
    detector = HaarDetector(min_neighbors=2)
    assert detector.detect_still(portrait) == detector.detect(portrait)


def test_pictures_of_a_pipeline_are_searched_as_stills(portrait: Image, tiny_model: Path) -> None:
    boxes = [face.box for face in load_pipeline(model=tiny_model, track=False)(portrait).faces]
    assert boxes == HaarDetector().detect_still(portrait)
