from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer import YuNetDetector
from edgeinfer.detection.network_stills import MAX_FACE_PIXELS, SIDES, TILE_PIXELS, NetworkStillSearch
from edgeinfer.results import Box, Image
from tools.marks import MarkNetwork, marked_picture

FACE = Box(85, 48, 97, 127)
"""Position of the face in the portrait, measured by eye."""


@pytest.fixture
def network() -> MarkNetwork:
    return MarkNetwork()


@pytest.fixture
def search(network: MarkNetwork) -> NetworkStillSearch:
    return NetworkStillSearch(network, min_score=0.7, min_size=16)


@pytest.mark.parametrize(
    ("size_wh", "shapes"),
    [
        pytest.param((40, 20), [(20, 40)], id="tiny"),
        pytest.param((320, 200), [(200, 320)], id="small"),
        pytest.param((600, 800), [(320, 240), (800, 600)], id="portrait"),
        pytest.param((1600, 400), [(80, 320), (320, 1280), (400, 1280), (400, 1280)], id="wide"),
    ],
)
def test_picture_is_searched_in_several_sizes(
    search: NetworkStillSearch, network: MarkNetwork, size_wh: tuple[int, int], shapes: list[tuple[int, int]]
) -> None:
    search.detect(marked_picture(size_wh))
    assert [shape for shape, _ in network.calls] == shapes


def test_parts_of_a_large_picture_are_limited_and_cover_it(search: NetworkStillSearch, network: MarkNetwork) -> None:
    marks = [(x, y, 40) for x in (0, 1180, 1260, 2400, 4960) for y in (0, 1190, 2560)]
    boxes = search.detect(marked_picture((5000, 2600), *marks))
    assert max(max(shape) for shape, _ in network.calls) == TILE_PIXELS
    assert len(boxes) == len(marks)
    for x, y, side in marks:
        assert max(Box(x, y, side, side).iou(box) for box in boxes) > 0.5


def test_large_faces_are_found_in_the_smallest_picture_only(search: NetworkStillSearch, network: MarkNetwork) -> None:
    side = MAX_FACE_PIXELS + 40
    boxes = search.detect(marked_picture((SIDES[1], 700), (300, 200, side), (900, 300, 100)))
    assert len(boxes) == 2
    assert max(Box(300, 200, side, side).iou(box) for box in boxes) > 0.9
    network.calls.clear()
    assert len(search.detect(marked_picture((SIDES[0], SIDES[0]), (2, 2, SIDES[0] - 4)))) == 1


def test_faces_below_the_smallest_size_are_ignored(network: MarkNetwork) -> None:
    picture = marked_picture((640, 360), (100, 200, 60), (500, 100, 30))
    assert [box.w for box in NetworkStillSearch(network, min_score=0.7, min_size=50).detect(picture)] == [60]


@pytest.mark.parametrize("scale", [0.4, 1.0, 6.0])
def test_a_face_of_any_size_gives_one_box(yunet: Path, portrait: Image, scale: float) -> None:
    picture = np.asarray(cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    (box,) = YuNetDetector(yunet).detect_still(picture)
    assert box.iou(Box(*(round(scale * value) for value in FACE.xywh))) > 0.6


def test_grey_and_colour_pictures_have_the_same_faces(yunet: Path, portrait: Image) -> None:
    detector = YuNetDetector(yunet)
    grey = np.asarray(cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY), np.uint8)
    (box,), (other,) = detector.detect_still(portrait), detector.detect_still(grey)
    assert box.iou(other) > 0.8
