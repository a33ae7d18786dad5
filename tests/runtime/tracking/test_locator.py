from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest

from edgeinfer import Box, HaarDetector, WholeFrameDetector
from edgeinfer.detection.base import FaceSearch, SearchStep
from edgeinfer.detection.pyramid import Pyramid
from edgeinfer.geometry import Place, Region
from edgeinfer.results import Image
from edgeinfer.tracking.locator import FaceLocator
from tools.world import Move, World, darker, texture

Located = list[tuple[float, dict[str, Box], list[tuple[int, Box]]]]
"""Time, true boxes by name, and located track ids and boxes of each frame."""


@pytest.fixture(scope="module")
def haar() -> HaarDetector:
    return HaarDetector()


def locate_all(locator: FaceLocator, frames: Iterable[tuple[float, Image, dict[str, Box]]]) -> Located:
    return [(now_s, truth, locator.locate(image, now_s)[0]) for now_s, image, truth in frames]


def ids(located: Located, name: str) -> list[int | None]:
    """Return the track id of a face in each frame in which it is visible; None if it was not found."""
    return [
        next((track_id for track_id, box in found if box.iou(truth[name]) >= 0.3), None)
        for _, truth, found in located
        if name in truth
    ]


def sway(x: float, y: float, side: float) -> Move:
    return lambda s: (x + 40 * math.sin(3 * s), y + 10 * math.cos(4 * s), side * (1 + 0.25 * math.sin(2 * s)))


@pytest.mark.parametrize("fps", [8.0, 30.0, 60.0])
def test_visible_face_keeps_one_track_id(haar: HaarDetector, portrait: Image, fps: float) -> None:
    world = World({"a": (portrait, sway(200, 130, 80))}, texture(1))
    located = locate_all(FaceLocator(haar), world.play(3, fps=fps))
    assert set(ids(located, "a")) == {1}
    assert all(len(found) == 1 for _, _, found in located)


def test_face_is_tracked_beyond_the_edge_of_the_frame(haar: HaarDetector, portrait: Image) -> None:
    world = World({"a": (portrait, lambda s: (100 - 60 * s, 130, 90))}, texture(1))
    located = locate_all(FaceLocator(haar), world.play(1.4))
    assert set(ids(located, "a")) == {1}
    assert all(box.x >= 0 for _, _, found in located for _, box in found)


def test_new_face_is_found_within_half_a_second(haar: HaarDetector, portrait: Image) -> None:
    world = World(
        {"a": (portrait, sway(120, 130, 70)), "b": (portrait, lambda s: (360, 140, 64) if s >= 1.1 else None)},
        texture(2),
    )
    found = ids(locate_all(FaceLocator(haar), world.play(2.5)), "b")
    first = next(n for n, number in enumerate(found) if number is not None)
    assert first / 30 <= 0.5
    assert len(set(found[first:])) == 1


def test_cut_discards_old_boxes_and_assigns_new_track_ids(haar: HaarDetector, portrait: Image) -> None:
    before = World({"a": (portrait, lambda s: (120, 130, 80))}, texture(3))
    after = World({"b": (darker(portrait), lambda s: (350, 140, 90))}, texture(4, level=150))
    locator = FaceLocator(haar)
    locate_all(locator, before.play(1))
    located = locate_all(locator, after.play(1, start_s=1.0))
    old = Box(80, 90, 80, 80)
    assert not [box for _, _, found in located[3:] for _, box in found if box.iou(old) > 0]
    assert set(ids(located, "b")[15:]) == {2}


def test_two_faces_that_cross_keep_their_track_ids(haar: HaarDetector, portrait: Image) -> None:
    world = World(
        {
            "a": (portrait, lambda s: (70 + 110 * s, 130, 80)),
            "b": (darker(portrait), lambda s: (410 - 110 * s, 140, 84)),
        },
        texture(5),
    )
    located = locate_all(FaceLocator(haar), world.play(3.1))
    for name in ("a", "b"):
        track_ids = ids(located, name)
        assert track_ids[0] is not None
        assert track_ids[0] == track_ids[-1]
    assert ids(located, "a")[0] != ids(located, "b")[0]


@pytest.mark.parametrize("hidden_s", [0.3, 0.9])
def test_face_hidden_for_less_than_a_second_keeps_its_track_id(
    haar: HaarDetector, portrait: Image, hidden_s: float
) -> None:
    def move(s: float) -> tuple[float, float, float] | None:
        return None if 1.0 <= s < 1.0 + hidden_s else (200 + 20 * s, 130, 80)

    located = locate_all(FaceLocator(haar), World({"a": (portrait, move)}, texture(6)).play(3))
    assert not [found for _, truth, found in located[35 : 30 + round(30 * hidden_s)] if found and not truth]
    assert [n for n in ids(located, "a")[-20:] if n != 1] == []


def test_step_back_in_time_discards_tracks(haar: HaarDetector, portrait: Image) -> None:
    world, locator = World({"a": (portrait, lambda s: (200, 130, 80))}, texture(7)), FaceLocator(haar)
    locate_all(locator, world.play(0.3, start_s=5.0))
    assert {track_id for _, _, found in locate_all(locator, world.play(0.3)) for track_id, _ in found} == {2}


@pytest.mark.parametrize("size_hw", [(1, 1), (3, 50), (30, 21), (100, 40)])
def test_frames_too_small_for_a_face_have_no_faces(haar: HaarDetector, size_hw: tuple[int, int]) -> None:
    locator, random = FaceLocator(haar), np.random.default_rng(0)
    for n in range(60):
        assert locator.locate(random.integers(0, 255, (*size_hw, 3), dtype=np.uint8), n / 30)[0] == []


class TruthDetector:
    """Detector without a custom search that returns the true boxes and counts its calls."""

    def __init__(self) -> None:
        self.truth: list[Box] = []
        self.calls = 0

    def detect(self, image: Image) -> list[Box]:
        self.calls += 1
        return list(self.truth)


@pytest.mark.parametrize("fps", [30.0, 90.0])
def test_custom_detector_runs_periodically_with_tracking_in_between(portrait: Image, fps: float) -> None:
    detector = TruthDetector()
    locator = FaceLocator(detector)
    world = World({"a": (portrait, sway(200, 130, 80))}, texture(8))
    for now_s, image, truth in world.play(2, fps=fps):
        detector.truth = list(truth.values())
        found = locator.locate(image, now_s)[0]
        assert [track_id for track_id, _ in found] == [1]
        assert found[0][1].iou(truth["a"]) > 0.6
    assert detector.calls <= 14


@pytest.mark.parametrize(("every", "calls"), [(1, 9), (4, 3)])
def test_detector_runs_on_every_nth_frame_and_its_result_replaces_tracks(
    portrait: Image, every: int, calls: int
) -> None:
    detector = TruthDetector()
    locator = FaceLocator(detector, every)
    frame = np.ascontiguousarray(portrait)
    detector.truth = [Box(77, 55, 112, 112)]
    for n in range(9):
        if n == 8:
            detector.truth = []
        found = locator.locate(frame, n / 30)[0]
        assert [track_id for track_id, _ in found] == ([] if n == 8 else [1])
        assert all(box.iou(Box(77, 55, 112, 112)) > 0.97 for _, box in found)
    assert detector.calls == calls


def test_reset_restarts_the_track_ids(haar: HaarDetector, portrait: Image) -> None:
    locator = FaceLocator(haar)
    for _ in range(2):
        assert [track_id for track_id, _ in locator.locate(portrait, 0.0)[0]] == [1]
        locator.reset()
        assert locator.track_ids == frozenset()


def test_whole_frame_detector_runs_on_every_frame(portrait: Image) -> None:
    locator = FaceLocator(WholeFrameDetector(), 4)
    for n, image in enumerate([portrait, np.zeros_like(portrait), portrait]):
        assert [box for _, box in locator.locate(image, n / 30)[0]] == [Box(0, 0, 256, 256)]


class TruthSearch:
    """Decisive search that returns the true places, and counts scans and verifications."""

    steps: tuple[SearchStep, ...] = (SearchStep(0.2, 0.5),)
    can_verify = decisive = True
    every_frame = False
    max_age_s = 0.5

    def __init__(self) -> None:
        self.truth: list[Box] = []
        self.scans = self.verified = 0

    def detect(self, image: Image) -> list[Box]:
        return list(self.truth)

    def create_search(self) -> FaceSearch:
        return self

    def search_frame(self, image: Image) -> list[Place]:
        return [Place.of(box) for box in self.truth]

    def run_step(self, pyramid: Pyramid, step: int, region: Region) -> list[Place]:
        self.scans += 1
        return self.search_frame(pyramid.image)

    def verify_near(self, pyramid: Pyramid, place: Place, verifier: int, *, thorough: bool) -> Place | None:
        self.verified += 1
        return next((near for box in self.truth if (near := Place.of(box)).iou(place) > 0.3), None)


def locate_with(search: TruthSearch, world: World, seconds: float, fps: float) -> Located:
    """Locate the faces of a world with a search that returns their true boxes."""
    locator, located = FaceLocator(search), []
    for now_s, image, truth in world.play(seconds, fps=fps):
        search.truth = list(truth.values())
        located.append((now_s, truth, locator.locate(image, now_s)[0]))
    return located


@pytest.mark.parametrize("fps", [4.0, 30.0, 90.0])
def test_decisive_search_verifies_a_face_between_scans(portrait: Image, fps: float) -> None:
    search = TruthSearch()
    located = locate_with(search, World({"a": (portrait, sway(200, 130, 80))}, texture(8)), 2, fps)
    assert set(ids(located, "a")) == {1}
    assert min(search.scans, search.verified) <= 11
    assert search.scans + search.verified <= 22


def test_track_ends_soon_after_a_decisive_search_no_longer_finds_its_face(portrait: Image) -> None:
    search, world = TruthSearch(), World({"a": (portrait, lambda s: (200, 130, 80))}, texture(8))
    locator = FaceLocator(search)
    for n, (now_s, image, truth) in enumerate(world.play(2)):
        search.truth = list(truth.values()) if n < 30 else []  # the head turns away; its picture hardly changes
        found = locator.locate(image, now_s)[0]
        assert len(found) == 1 or n >= 30
        assert not found or n < 34


def test_lost_face_doubles_the_scans_of_a_decisive_search(portrait: Image) -> None:
    scans = []
    for end_s in (9.0, 1.0):
        search, ground = TruthSearch(), texture(8)
        world = World({"a": (portrait, between(sway(200, 130, 80), end_s))}, ground)
        locator = FaceLocator(search)
        for n in range(60):
            world.ground = np.roll(ground, 4 * n, axis=1)  # where nothing moves, nothing is searched
            image, truth = world.at(n / 30)
            search.truth = list(truth.values())
            locator.locate(image, n / 30)
        scans.append(search.scans)
    assert scans[0] + 3 <= scans[1] <= 2 * scans[0]


def between(move: Move, end_s: float) -> Move:
    return lambda s: move(s) if s < end_s else None
