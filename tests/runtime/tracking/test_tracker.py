from __future__ import annotations

import pytest

from edgeinfer.detection.pyramid import Pyramid
from edgeinfer.geometry import Place
from edgeinfer.results import Image
from edgeinfer.tracking.tracker import Tracker
from tools.world import World, texture

FACE = Place(200, 130, 80, 80)


@pytest.fixture
def scene(portrait: Image) -> Pyramid:
    return Pyramid(World({"a": (portrait, lambda s: (200, 130, 80))}, texture(1)).at(0)[0])


@pytest.fixture
def tracker(scene: Pyramid) -> Tracker:
    """It has seen one face."""
    tracker = Tracker(most_patience_s=2.5)
    tracker.add(FACE, scene, 0.0, patience_s=1.0)
    return tracker


@pytest.mark.parametrize(
    ("place", "known"),
    [
        pytest.param(FACE.moved(4, -3, 1.2), True, id="the-same"),
        pytest.param(Place(225, 120, 35, 35), True, id="an-eye"),
        pytest.param(Place(236, 124, 38, 38), True, id="half-beside-its-cheek"),
        pytest.param(Place(260, 130, 60, 60), False, id="a-neighbour"),
        pytest.param(Place(400, 130, 80, 80), False, id="far-away"),
    ],
)
def test_part_of_a_face_is_no_other_one(tracker: Tracker, place: Place, known: bool) -> None:
    assert tracker.knows(place) is known


def test_a_hidden_face_takes_nothing_that_does_not_look_like_it(tracker: Tracker, scene: Pyramid) -> None:
    (track,) = tracker.tracks
    track.visible, track.crowded = False, True
    stranger = Place(140, 130, 80, 80)  # the texture beside it
    assert tracker.match([stranger], scene, 0.1, weight=1.0) == [stranger]
    assert not track.visible
    assert tracker.match([FACE], scene, 0.2, weight=1.0) == []
    assert track.visible


def test_a_face_keeps_its_way_where_it_is_found_as_expected(tracker: Tracker, scene: Pyramid) -> None:
    (track,) = tracker.tracks
    for place, velocity in ((FACE.moved(-4, 2), (120.0, 0.0)), (FACE.moved(-100, 0), (0.0, 0.0))):
        track.visible, track.velocity, track.place = False, (120.0, 0.0), place
        assert tracker.confirm(track, FACE, scene, 0.1)
        assert track.velocity == velocity
