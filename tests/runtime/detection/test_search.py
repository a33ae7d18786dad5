from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgeinfer import HaarDetector, WholeFrameDetector
from edgeinfer.detection.base import FaceDetector, FaceSearch
from edgeinfer.detection.cascade_search import CascadeSearch
from edgeinfer.detection.frame_search import FullFrameSearch, create_search
from edgeinfer.detection.pyramid import Pyramid
from edgeinfer.geometry import WHOLE, Place
from edgeinfer.results import Box, Image
from tools.fakes import FakeDetector
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
        pytest.param(HaarDetector(), CascadeSearch, id="haar-defaults"),
        pytest.param(HaarDetector("haarcascade_frontalface_default"), CascadeSearch, id="haar-default-cascade"),
        pytest.param(HaarDetector("haarcascade_frontalface_alt2"), FullFrameSearch, id="haar-other-cascade"),
        pytest.param(HaarDetector(min_size=90), FullFrameSearch, id="haar-other-options"),
        pytest.param(WholeFrameDetector(), FullFrameSearch, id="whole-frame"),
        pytest.param(FakeDetector([]), FullFrameSearch, id="plugin"),
    ],
)
def test_search_depends_on_the_detector(detector: FaceDetector, kind: type[FaceSearch]) -> None:
    search = create_search(detector)
    assert type(search) is kind
    assert search.every_frame is isinstance(detector, WholeFrameDetector)


def test_detector_can_provide_a_search(search: CascadeSearch) -> None:
    class CustomDetector(FakeDetector):
        def create_search(self) -> FaceSearch:
            return search

    assert create_search(CustomDetector([])) is search


def test_full_frame_search_uses_the_quick_variant_after_the_first_frame(portrait: Image) -> None:
    detector, quick = FakeDetector([Box(0, 0, 10, 10)]), FakeDetector([Box(5, 5, 20, 20)])
    search = FullFrameSearch(detector, detect_quick=quick.detect)
    assert [place.box() for place in search.search_frame(portrait)] == [Box(0, 0, 10, 10)]
    assert [place.box() for place in search.run_step(Pyramid(portrait), 0, WHOLE)] == [Box(5, 5, 20, 20)]
    assert (detector.calls, quick.calls) == (1, 1)


def test_step_finds_a_face_in_the_frame_and_in_a_region(search: CascadeSearch, portrait: Image) -> None:
    for region in (WHOLE, (0.25, 0.1, 0.9, 1.0)):
        assert any(place.iou(FACE) > 0.5 for place in search.run_step(scene(portrait), 0, region))
    assert not any(place.iou(FACE) > 0 for place in search.run_step(scene(portrait), 0, (0.0, 0.0, 0.35, 1.0)))


@pytest.mark.parametrize("verifier", [0, 1])
def test_verifier_corrects_a_face_and_rejects_the_background(
    search: CascadeSearch, portrait: Image, verifier: int
) -> None:
    found = search.verify_near(scene(portrait), FACE.moved(6, -4, 1.1), verifier, thorough=True)
    assert found is not None
    assert found.iou(FACE) > 0.6
    assert search.verify_near(scene(portrait), Place(80, 130, 80, 80), verifier, thorough=True) is None


@pytest.mark.parametrize(
    ("size_wh", "shrunk"), [((640, 360), (178, 100)), ((360, 640), (100, 178)), ((90, 80), (90, 80))]
)
def test_pictures_are_reduced_by_their_shorter_side(size_wh: tuple[int, int], shrunk: tuple[int, int]) -> None:
    width, height = size_wh
    assert Pyramid(np.zeros((height, width, 3), np.uint8)).shrunk(100).shape[::-1] == shrunk


@pytest.mark.parametrize("zoom", [1.0, 4.0, 9.0], ids=["small", "1080p", "4k"])
def test_patch_is_the_same_at_every_frame_size(portrait: Image, zoom: float) -> None:
    pyramid = Pyramid(np.asarray(cv2.resize(portrait, None, fx=zoom, fy=zoom), np.uint8))
    patch = pyramid.patch((128 + 0.5) * zoom - 0.5, (110 + 0.5) * zoom - 0.5, 112 * zoom, 28)
    expected = cv2.resize(Pyramid(portrait).level(0)[54:166, 72:184], (28, 28), interpolation=cv2.INTER_AREA)
    assert np.abs(patch.astype(float) - expected).mean() < 6
    assert Pyramid(portrait).patch(0, 0, 40, 20).shape == (20, 20)


def test_patch_of_a_large_frame_averages_noise() -> None:
    noise = np.random.default_rng(1).normal(100, 20, (1080, 1080)).astype(np.uint8)
    assert Pyramid(noise).patch(540, 540, 800, 28).std() < 20 / 3


@pytest.mark.parametrize("place", [(3, 3), (1916, 1075), (-40, 500)], ids=["top", "bottom", "left"])
def test_patch_at_an_edge_of_a_large_frame_repeats_the_edge(portrait: Image, place: tuple[int, int]) -> None:
    large = np.asarray(cv2.resize(portrait, (1920, 1080)), np.uint8)
    framed = cv2.copyMakeBorder(large, 640, 640, 640, 640, cv2.BORDER_REPLICATE)
    patch = Pyramid(large).patch(*place, 320, 40)
    expected = Pyramid(np.asarray(framed, np.uint8)).patch(place[0] + 640, place[1] + 640, 320, 40)
    assert np.abs(patch.astype(float) - expected).mean() < 2


def test_first_frame_search_finds_all_faces_and_nothing_else(search: CascadeSearch, portrait: Image) -> None:
    world = World({"a": (portrait, lambda s: (100, 130, 40)), "b": (portrait, lambda s: (300, 150, 150))}, texture(1))
    image, truth = world.at(0)[:2]
    for picture in (image, cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)):
        found = [place.box() for place in search.search_frame(np.asarray(picture, np.uint8))]
        assert all(any(face.iou(box) > 0.5 for box in found) for face in truth.values())
        assert all(any(box.iou(face) > 0.5 for face in truth.values()) for box in found)
