from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest

from edgeinfer import Box, HaarDetector
from edgeinfer.results import Image
from edgeinfer.tracking.locator import FaceLocator
from tools.world import Move, World, darker, texture

Seen = list[tuple[float, dict[str, Box], list[tuple[int, Box]]]]


@pytest.fixture(scope="module")
def haar() -> HaarDetector:
    return HaarDetector()


def watch(watcher: FaceLocator, frames: Iterable[tuple[float, Image, dict[str, Box]]]) -> Seen:
    return [(now_s, truth, watcher.find(image, now_s)[0]) for now_s, image, truth in frames]


def ids(seen: Seen, name: str) -> list[int | None]:
    """Who the watcher took a face for, frame by frame; None where it saw nobody."""
    return [
        next((number for number, box in found if box.iou(truth[name]) >= 0.3), None)
        for _, truth, found in seen
        if name in truth
    ]


def sway(x: float, y: float, side: float) -> Move:
    return lambda s: (x + 40 * math.sin(3 * s), y + 10 * math.cos(4 * s), side * (1 + 0.25 * math.sin(2 * s)))


@pytest.mark.parametrize("fps", [8.0, 30.0, 60.0])
def test_a_face_in_view_is_followed_under_one_number(haar: HaarDetector, portrait: Image, fps: float) -> None:
    world = World({"a": (portrait, sway(200, 130, 80))}, texture(1))
    seen = watch(FaceLocator(haar), world.play(3, fps=fps))
    assert set(ids(seen, "a")) == {1}
    assert all(len(found) == 1 for _, _, found in seen)


def test_faces_are_followed_over_the_edge_of_the_frame(haar: HaarDetector, portrait: Image) -> None:
    world = World({"a": (portrait, lambda s: (100 - 60 * s, 130, 90))}, texture(1))
    seen = watch(FaceLocator(haar), world.play(1.4))
    assert set(ids(seen, "a")) == {1}
    assert all(box.x >= 0 for _, _, found in seen for _, box in found)


def test_a_new_face_is_found_within_half_a_second(haar: HaarDetector, portrait: Image) -> None:
    world = World(
        {"a": (portrait, sway(120, 130, 70)), "b": (portrait, lambda s: (360, 140, 64) if s >= 1.1 else None)},
        texture(2),
    )
    found = ids(watch(FaceLocator(haar), world.play(2.5)), "b")
    waited = next(n for n, number in enumerate(found) if number is not None)
    assert waited / 30 <= 0.5
    assert len(set(found[waited:])) == 1


def test_after_a_cut_old_boxes_are_gone_and_new_faces_have_new_numbers(haar: HaarDetector, portrait: Image) -> None:
    before = World({"a": (portrait, lambda s: (120, 130, 80))}, texture(3))
    after = World({"b": (darker(portrait), lambda s: (350, 140, 90))}, texture(4, level=150))
    watcher = FaceLocator(haar)
    watch(watcher, before.play(1))
    seen = watch(watcher, after.play(1, start_s=1.0))
    old = Box(80, 90, 80, 80)
    assert not [box for _, _, found in seen[3:] for _, box in found if box.iou(old) > 0]
    assert set(ids(seen, "b")[15:]) == {2}


def test_two_faces_that_pass_keep_their_numbers(haar: HaarDetector, portrait: Image) -> None:
    world = World(
        {
            "a": (portrait, lambda s: (70 + 110 * s, 130, 80)),
            "b": (darker(portrait), lambda s: (410 - 110 * s, 140, 84)),
        },
        texture(5),
    )
    seen = watch(FaceLocator(haar), world.play(3.1))
    for name in ("a", "b"):
        numbers = ids(seen, name)
        assert numbers[0] is not None
        assert numbers[0] == numbers[-1]
    assert ids(seen, "a")[0] != ids(seen, "b")[0]


@pytest.mark.parametrize("hidden_s", [0.3, 0.9])
def test_a_face_hidden_for_less_than_a_second_comes_back(haar: HaarDetector, portrait: Image, hidden_s: float) -> None:
    def move(s: float) -> tuple[float, float, float] | None:
        return None if 1.0 <= s < 1.0 + hidden_s else (200 + 20 * s, 130, 80)

    seen = watch(FaceLocator(haar), World({"a": (portrait, move)}, texture(6)).play(3))
    assert not [found for _, truth, found in seen[35 : 30 + round(30 * hidden_s)] if found and not truth]
    assert [n for n in ids(seen, "a")[-20:] if n != 1] == []


def test_a_step_back_in_time_forgets(haar: HaarDetector, portrait: Image) -> None:
    world, watcher = World({"a": (portrait, lambda s: (200, 130, 80))}, texture(7)), FaceLocator(haar)
    watch(watcher, world.play(0.3, start_s=5.0))
    assert {number for _, _, found in watch(watcher, world.play(0.3)) for number, _ in found} == {2}


@pytest.mark.parametrize("size_hw", [(1, 1), (3, 50), (30, 21), (100, 40)])
def test_frames_too_small_for_a_face_are_no_error(haar: HaarDetector, size_hw: tuple[int, int]) -> None:
    watcher, random = FaceLocator(haar), np.random.default_rng(0)
    for n in range(60):
        assert watcher.find(random.integers(0, 255, (*size_hw, 3), dtype=np.uint8), n / 30)[0] == []


class Oracle:
    """A third party's detector: it knows the truth and counts how often it is asked."""

    def __init__(self) -> None:
        self.truth: list[Box] = []
        self.calls = 0

    def detect(self, image: Image) -> list[Box]:
        self.calls += 1
        return list(self.truth)


@pytest.mark.parametrize("fps", [30.0, 90.0])
def test_any_detector_is_asked_by_time_and_followed_in_between(portrait: Image, fps: float) -> None:
    oracle = Oracle()
    watcher = FaceLocator(oracle)
    world = World({"a": (portrait, sway(200, 130, 80))}, texture(8))
    for now_s, image, truth in world.play(2, fps=fps):
        oracle.truth = list(truth.values())
        found = watcher.find(image, now_s)[0]
        assert [number for number, _ in found] == [1]
        assert found[0][1].iou(truth["a"]) > 0.6
    assert oracle.calls <= 14


@pytest.mark.parametrize(("every", "calls"), [(1, 9), (4, 3)])
def test_every_nth_frame_is_searched_and_believed(portrait: Image, every: int, calls: int) -> None:
    oracle = Oracle()
    watcher = FaceLocator(oracle, every)
    frame = np.ascontiguousarray(portrait)
    oracle.truth = [Box(77, 55, 112, 112)]
    for n in range(9):
        if n == 8:
            oracle.truth = []
        found = watcher.find(frame, n / 30)[0]
        assert [number for number, _ in found] == ([] if n == 8 else [1])
        assert all(box.iou(Box(77, 55, 112, 112)) > 0.97 for _, box in found)
    assert oracle.calls == calls
