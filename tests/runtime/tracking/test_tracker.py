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
    """Tracker with one track, at `FACE`."""
    tracker = Tracker(max_age_s=2.5)
    tracker.add(FACE, scene, 0.0, max_age_s=1.0)
    return tracker


@pytest.mark.parametrize(
    ("place", "tracked"),
    [
        pytest.param(FACE.moved(4, -3, 1.2), True, id="same-face"),
        pytest.param(Place(225, 120, 35, 35), True, id="eye"),
        pytest.param(Place(236, 124, 38, 38), True, id="partly-beside-the-cheek"),
        pytest.param(Place(260, 130, 60, 60), False, id="adjacent-face"),
        pytest.param(Place(400, 130, 80, 80), False, id="distant-face"),
    ],
)
def test_part_of_a_tracked_face_is_not_a_new_face(tracker: Tracker, place: Place, tracked: bool) -> None:
    assert tracker.is_tracked(place) is tracked


def test_hidden_track_rejects_detections_with_a_different_appearance(tracker: Tracker, scene: Pyramid) -> None:
    (track,) = tracker.tracks
    track.visible, track.near_other = False, True
    background = Place(140, 130, 80, 80)
    assert tracker.match([background], scene, 0.1, weight=1.0) == [background]
    assert not track.visible
    assert tracker.match([FACE], scene, 0.2, weight=1.0) == []
    assert track.visible


def test_recovered_track_keeps_its_velocity_if_it_moved_as_predicted(tracker: Tracker, scene: Pyramid) -> None:
    (track,) = tracker.tracks
    for place, velocity in ((FACE.moved(-4, 2), (120.0, 0.0)), (FACE.moved(-100, 0), (0.0, 0.0))):
        track.visible, track.velocity, track.place = False, (120.0, 0.0), place
        assert tracker.assign(track, FACE, scene, 0.1)
        assert track.velocity == velocity


def test_track_is_stable_while_visible_and_recently_detected_several_times(tracker: Tracker, scene: Pyramid) -> None:
    (track,) = tracker.tracks
    assert track.is_stable(0.2)
    assert not track.is_stable(0.3)
    track.max_age_s = 0.5
    assert not track.is_stable(0.2)
    track.max_age_s, track.visible = 1.0, False
    assert not track.is_stable(0.2)
    assert not track.occluded
    track.near_other = True
    assert track.occluded
