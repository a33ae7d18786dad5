from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgeinfer import HaarDetector, WholeFrameDetector
from edgeinfer.detection.base import FaceDetector, Search
from edgeinfer.detection.cascade_search import CascadeSearch
from edgeinfer.detection.frame_search import FullFrameSearch, create_search
from edgeinfer.detection.pyramid import Pyramid
from edgeinfer.geometry import WHOLE, Place
from edgeinfer.results import Image
from tools.world import World, texture

FACE = Place(240, 130, 80, 80)


@pytest.fixture(scope="module")
def search() -> CascadeSearch:
    return CascadeSearch(HaarDetector().cascade)


def scene(portrait: Image) -> Pyramid:
    return Pyramid(World({"a": (portrait, lambda s: (240, 130, 80))}, texture(1)).at(0)[0])


@pytest.mark.parametrize(
    ("detector", "kind"),
    [
        pytest.param(HaarDetector(), CascadeSearch, id="as-it-comes"),
        pytest.param(HaarDetector("haarcascade_frontalface_default"), CascadeSearch, id="by-its-name"),
        pytest.param(HaarDetector("haarcascade_frontalface_alt2"), FullFrameSearch, id="another-cascade"),
        pytest.param(HaarDetector(min_size=90), FullFrameSearch, id="options-of-ones-own"),
        pytest.param(WholeFrameDetector(), FullFrameSearch, id="another-detector"),
    ],
)
def test_a_detector_is_only_replaced_where_it_is_known(detector: FaceDetector, kind: type[Search]) -> None:
    assert type(create_search(detector)) is kind


def test_a_scan_finds_a_face_and_its_part_of_the_frame_too(search: CascadeSearch, portrait: Image) -> None:
    for region in (WHOLE, (0.25, 0.1, 0.9, 1.0)):
        assert any(place.iou(FACE) > 0.5 for place in search.scan(scene(portrait), 0, region))
    assert not any(place.iou(FACE) > 0 for place in search.scan(scene(portrait), 0, (0.0, 0.0, 0.35, 1.0)))


@pytest.mark.parametrize("turn", [0, 1])
def test_a_closer_look_corrects_a_face_and_refuses_the_ground(
    search: CascadeSearch, portrait: Image, turn: int
) -> None:
    found = search.confirm(scene(portrait), FACE.moved(6, -4, 1.1), turn, thorough=True)
    assert found is not None
    assert found.iou(FACE) > 0.6
    assert search.confirm(scene(portrait), Place(80, 130, 80, 80), turn, thorough=True) is None


@pytest.mark.parametrize(
    ("size_wh", "shrunk"), [((640, 360), (178, 100)), ((360, 640), (100, 178)), ((90, 80), (90, 80))]
)
def test_pictures_are_shrunk_by_their_shorter_side(size_wh: tuple[int, int], shrunk: tuple[int, int]) -> None:
    wide, high = size_wh
    assert Pyramid(np.zeros((high, wide, 3), np.uint8)).shrunk(100).shape[::-1] == shrunk


@pytest.mark.parametrize("zoom", [1.0, 4.0, 9.0], ids=["small", "1080p", "4k"])
def test_a_patch_shows_the_same_at_every_size(portrait: Image, zoom: float) -> None:
    view = Pyramid(np.asarray(cv2.resize(portrait, None, fx=zoom, fy=zoom), np.uint8))
    patch = view.patch((128 + 0.5) * zoom - 0.5, (110 + 0.5) * zoom - 0.5, 112 * zoom, 28)
    same = cv2.resize(Pyramid(portrait).level(0)[54:166, 72:184], (28, 28), interpolation=cv2.INTER_AREA)
    assert np.abs(patch.astype(float) - same).mean() < 6
    assert Pyramid(portrait).patch(0, 0, 40, 20).shape == (20, 20)


def test_a_first_frame_is_searched_whole_and_as_the_detector_does(search: CascadeSearch, portrait: Image) -> None:
    world = World({"a": (portrait, lambda s: (100, 130, 40)), "b": (portrait, lambda s: (300, 150, 150))}, texture(1))
    image, truth = world.at(0)[:2]
    for picture in (image, cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)):
        found = [place.box() for place in search.whole(np.asarray(picture, np.uint8))]
        assert all(any(face.iou(box) > 0.5 for box in found) for face in truth.values())
        assert all(any(box.iou(face) > 0.5 for face in truth.values()) for box in found)
