from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer.detection.network_search import CROP_PIXELS, MAX_NEW_PIXELS, TILES, NetworkSearch
from edgeinfer.detection.pyramid import Pyramid
from edgeinfer.detection.yunet_network import YuNetNetwork
from edgeinfer.geometry import WHOLE, Place, Region
from edgeinfer.results import Image
from tools.marks import MarkNetwork, marked_picture
from tools.world import World, texture


def marked(size_wh: tuple[int, int], *marks: tuple[int, int, int]) -> Pyramid:
    """Return the pyramid of a frame with white squares, each given as left, top and side in pixels."""
    return Pyramid(marked_picture(size_wh, *marks))


@pytest.fixture
def network() -> MarkNetwork:
    return MarkNetwork()


@pytest.fixture
def search(network: MarkNetwork) -> NetworkSearch:
    return NetworkSearch(network, min_score=0.7, min_size=16)


@pytest.mark.parametrize(
    ("size_wh", "shape"),
    [
        pytest.param((640, 360), (216, 384), id="360p"),
        pytest.param((1280, 720), (216, 384), id="720p"),
        pytest.param((3840, 2160), (216, 384), id="4k"),
        pytest.param((360, 640), (384, 216), id="portrait"),
        pytest.param((160, 120), (120, 160), id="small"),
        pytest.param((20, 10), (10, 20), id="tiny"),
    ],
)
def test_scan_is_reduced_to_a_multiple_of_the_grid(
    search: NetworkSearch, network: MarkNetwork, size_wh: tuple[int, int], shape: tuple[int, int]
) -> None:
    search.run_step(marked(size_wh), 0, WHOLE)
    ((scanned, score),) = network.calls
    assert (scanned, round(score, 9)) == (shape, 0.63)


def test_first_frame_is_searched_at_a_higher_resolution(search: NetworkSearch, network: MarkNetwork) -> None:
    (place,) = search.search_frame(marked((1280, 720), (400, 200, 100)).image)
    assert network.calls == [((360, 640), 0.7)]
    assert place.iou(Place(449.5, 249.5, 100, 100)) > 0.9


@pytest.mark.parametrize(
    ("region", "found"),
    [
        pytest.param(WHOLE, 3, id="whole"),
        pytest.param((0.0, 0.0, 0.5, 1.0), 2, id="left"),
        pytest.param((0.2, 0.0, 1.0, 1.0), 1, id="cuts-off-one"),
        pytest.param((0.5, 0.5, 0.5, 0.5), 0, id="empty"),
    ],
)
def test_faces_that_the_region_cuts_off_are_ignored(search: NetworkSearch, region: Region, found: int) -> None:
    pyramid = marked((640, 360), (0, 0, 60), (100, 200, 60), (500, 100, 60))
    assert len(search.run_step(pyramid, 0, region)) == found


def test_faces_below_the_smallest_size_are_ignored(network: MarkNetwork) -> None:
    pyramid = marked((640, 360), (100, 200, 60), (500, 100, 30))
    assert len(NetworkSearch(network, min_score=0.7, min_size=50).run_step(pyramid, 0, WHOLE)) == 1


def test_tiles_of_a_large_frame_cover_it_in_turn(search: NetworkSearch, network: MarkNetwork) -> None:
    marks = [(x, y, 30) for x in (10, 945, 1880) for y in (10, 525, 1040)]
    pyramid = marked((1920, 1080), *marks)
    places = [place for _ in range(TILES**2) for place in search.run_step(pyramid, 1, WHOLE)]
    assert {shape for shape, _ in network.calls} == {(216, 384)}
    for x, y, side in marks:
        assert any(place.iou(Place(x + 14.5, y + 14.5, side, side)) > 0.6 for place in places)


def test_tiles_start_again_with_the_first_frame(search: NetworkSearch, network: MarkNetwork) -> None:
    """Check that the same frames give the same faces after a reset."""
    pyramid = marked((1920, 1080), (10, 10, 30))
    rounds = []
    for tiles in (3, TILES**2):
        search.search_frame(pyramid.image)
        rounds.append([bool(search.run_step(pyramid, 1, WHOLE)) for _ in range(tiles)])
    assert rounds[0] == rounds[1][:3]
    assert sum(rounds[1]) == 1


@pytest.mark.parametrize(("size_wh", "min_size"), [((640, 360), 16), ((1920, 1080), 60)], ids=["small", "large-faces"])
def test_tiles_are_searched_only_for_faces_too_small_for_a_scan(
    network: MarkNetwork, size_wh: tuple[int, int], min_size: int
) -> None:
    assert (
        NetworkSearch(network, min_score=0.7, min_size=min_size).run_step(marked(size_wh, (9, 9, 99)), 1, WHOLE) == []
    )
    assert network.calls == []


@pytest.mark.parametrize("size_wh", [(640, 360), (3840, 2160)], ids=["360p", "4k"])
@pytest.mark.parametrize("thorough", [False, True], ids=["tracked", "new"])
def test_face_is_verified_in_a_small_picture_around_it(
    search: NetworkSearch, network: MarkNetwork, size_wh: tuple[int, int], thorough: bool
) -> None:
    side = size_wh[1] // 5
    pyramid = marked(size_wh, (size_wh[0] // 2, size_wh[1] // 2, side))
    face = Place(size_wh[0] // 2 + side / 2 - 0.5, size_wh[1] // 2 + side / 2 - 0.5, side, side)
    found = search.verify_near(pyramid, face.moved(side / 5, -side / 5), 0, thorough=thorough)
    assert found is not None
    assert found.iou(face) > 0.9
    (((height, width), score),) = network.calls
    assert max(height, width) <= (MAX_NEW_PIXELS if thorough else CROP_PIXELS) + 1
    assert score == pytest.approx(0.63 if thorough else 0.42)


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(Place(200, 200, 60, 60), id="elsewhere"),
        pytest.param(Place(470, 130, 60, 60), id="adjacent"),
        pytest.param(Place(900, 500, 60, 60), id="outside"),
    ],
)
def test_face_away_from_its_expected_position_is_not_verified(search: NetworkSearch, place: Place) -> None:
    assert search.verify_near(marked((640, 360), (500, 100, 60)), place, 0, thorough=False) is None


@pytest.mark.parametrize("size_wh", [(480, 270), (1920, 1080)], ids=["270p", "1080p"])
def test_network_confirms_a_face_and_rejects_the_background(
    yunet: Path, portrait: Image, size_wh: tuple[int, int]
) -> None:
    zoom = size_wh[0] / 480
    image = World({"a": (portrait, lambda _: (240, 130, 80))}, texture(1)).at(0)[0]
    pyramid = Pyramid(np.asarray(cv2.resize(image, size_wh), np.uint8))
    search = NetworkSearch(YuNetNetwork(yunet), min_score=0.7, min_size=16)
    face = Place(240 * zoom, 130 * zoom, 80 * zoom, 80 * zoom)
    for place in (*search.search_frame(pyramid.image), *search.run_step(pyramid, 0, WHOLE)):
        assert place.iou(face) > 0.4
    for thorough in (False, True):
        found = search.verify_near(pyramid, face, 0, thorough=thorough)
        assert found is not None
        assert found.iou(face) > 0.4
        assert search.verify_near(pyramid, face.moved(-160 * zoom, 0), 0, thorough=thorough) is None
