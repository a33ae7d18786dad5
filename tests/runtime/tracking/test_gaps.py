"""Identities in frames that are seconds apart, as from a slow board or in a time-lapse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeinfer import HaarDetector, YuNetDetector
from edgeinfer.detection.base import FaceDetector
from edgeinfer.results import Image
from edgeinfer.tracking.locator import FaceLocator
from tools.world import Move, World, darker, texture

GAPS_S = (1.0, 2.0, 5.0)


@pytest.fixture(scope="module", params=["haar", "yunet"])
def detector(request: pytest.FixtureRequest) -> FaceDetector:
    if request.param == "haar":
        return HaarDetector()
    path: Path = request.getfixturevalue("yunet")
    return YuNetDetector(path)


def locate_ids(detector: FaceDetector, gap_s: float, *images: Image) -> list[set[int]]:
    """Return the ids of the faces in frames that follow each other after a gap."""
    locator = FaceLocator(detector)
    return [{track_id for track_id, _ in locator.locate(image, n * gap_s)[0]} for n, image in enumerate(images)]


def still(x: float, side: float = 80) -> Move:
    return lambda s: (x, 130, side)


@pytest.mark.parametrize("gap_s", GAPS_S)
def test_faces_keep_their_ids_over_gaps(detector: FaceDetector, portrait: Image, gap_s: float) -> None:
    shifts, sides = (0, 25, -5, 60, 45), (80, 84, 80, 76, 82)
    images = [
        World({"a": (portrait, still(120 + shift, side)), "b": (darker(portrait), still(350 - shift, side))},
              texture(1)).at(0)[0]
        for shift, side in zip(shifts, sides, strict=True)
    ]  # fmt: skip
    assert locate_ids(detector, gap_s, *images) == 5 * [{1, 2}]


@pytest.mark.parametrize("gap_s", GAPS_S)
def test_face_missed_in_one_frame_keeps_its_id(detector: FaceDetector, portrait: Image, gap_s: float) -> None:
    ground = texture(1)
    image = World({"a": (portrait, still(200))}, ground).at(0)[0]
    assert locate_ids(detector, gap_s, image, ground, image) == [{1}, set(), {1}]


@pytest.mark.parametrize("gap_s", GAPS_S)
def test_another_person_in_the_same_place_gets_a_new_id(detector: FaceDetector, portrait: Image, gap_s: float) -> None:
    ground = texture(1)
    one, other = (World({"a": (face, still(200))}, ground).at(0)[0] for face in (portrait, darker(portrait)))
    assert locate_ids(detector, gap_s, one, one, other, other) == [{1}, {1}, {2}, {2}]


@pytest.mark.parametrize("gap_s", GAPS_S)
def test_cut_after_a_gap_gives_a_new_id(detector: FaceDetector, portrait: Image, gap_s: float) -> None:
    before = World({"a": (portrait, still(120))}, texture(3)).at(0)[0]
    after = World({"a": (darker(portrait), still(350))}, np.asarray(texture(4, level=150), np.uint8)).at(0)[0]
    assert locate_ids(detector, gap_s, before, after) == [{1}, {2}]
