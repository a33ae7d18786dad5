"""Live runs on a simulated slow machine: searches are divided, postponed and complete."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer import Box, Emotion, HaarDetector, Pipeline, Result, open_source
from edgeinfer.detection.base import DivisibleSearch, FaceDetector, FaceSearch, SearchStep
from edgeinfer.detection.pyramid import Pyramid
from edgeinfer.detection.yunet import YuNetDetector
from edgeinfer.geometry import WHOLE, Place, Region
from edgeinfer.results import LABELS, Image
from tools.slow_board import ManualTime, camera_times
from tools.world import texture

SIZE_WH = (480, 270)
SMALL = 60.0
"""Side in pixels from which faces are found at half resolution."""
VERIFY_S, CLASSIFY_S, TRACK_S = 0.01, 0.02, 0.01


class CostlyDetector:
    """Detector and its search, with known faces and costs.

    Attributes:
        faces: Boxes of the faces in the current frame.
        regions: Area of each searched region as a share of the frame.
    """

    can_verify = True
    decisive = every_frame = False
    max_age_s = 2.5
    max_halvings, min_tile = 2, 0.1

    def __init__(self, time: ManualTime, scan_s: float) -> None:
        self.steps: tuple[SearchStep, ...] = (SearchStep(0.4, 0.4, (0,)), SearchStep(0.8, 0.4, (0,)))
        self.faces: list[Box] = []
        self.regions: list[float] = []
        self._time, self._scan_s = time, scan_s

    def detect(self, image: Image) -> list[Box]:
        self._time.work(self._scan_s)
        return self.faces

    def create_search(self) -> FaceSearch:
        return self

    def search_frame(self, image: Image) -> list[Place]:
        return [Place.of(box) for box in self.detect(image)]

    def run_step(self, pyramid: Pyramid, step: int, region: Region) -> list[Place]:
        return self.run_reduced(pyramid, step, region, 0)

    def run_reduced(self, pyramid: Pyramid, step: int, region: Region, halvings: int) -> list[Place]:
        self.regions.append((region[2] - region[0]) * (region[3] - region[1]))
        self._time.work(self._scan_s * self.regions[-1] / 4**halvings)
        left, top, right, bottom = (k * n for k, n in zip(region, (*SIZE_WH, *SIZE_WH), strict=True))
        return [
            Place.of(box)
            for box in self.faces
            if box.w >= SMALL / 2 * 2**halvings
            and left <= box.x
            and top <= box.y
            and box.x + box.w <= right
            and box.y + box.h <= bottom
        ]

    def small_face_side(self, size_wh: tuple[int, int], step: int) -> float | None:
        return SMALL

    def verify_near(self, pyramid: Pyramid, place: Place, verifier: int, *, thorough: bool) -> Place | None:
        self._time.work(VERIFY_S)
        return next((Place.of(box) for box in self.faces if Place.of(box).iou(place) > 0.3), None)


class CostlyClassifier:
    """Classifier with a known cost that counts the faces."""

    labels, margin = LABELS, 0.0

    def __init__(self, time: ManualTime) -> None:
        self._time, self.count = time, 0

    def classify(self, crops: Sequence[Image]) -> list[Emotion]:
        self._time.work(CLASSIFY_S * len(crops))
        self.count += len(crops)
        return [Emotion("happy", 1.0, {label: float(label == "happy") for label in LABELS})] * len(crops)


class Board:
    """A pipeline on a machine with simulated time.

    Attributes:
        latencies_s: Time from each frame to its result in seconds.
        ends_s: Time of each result in seconds.
        results: Result of each frame.
    """

    def __init__(self, scan_s: float, *, keep_pace: bool = True) -> None:
        self.time = ManualTime()
        self.detector = CostlyDetector(self.time, scan_s)
        self.classifier = CostlyClassifier(self.time)
        self.pipeline = Pipeline(self.detector, self.classifier)
        self.pipeline.keep_pace(keep_pace, clock=self.time)
        self.latencies_s: list[float] = []
        self.ends_s: list[float] = []
        self.results: list[Result] = []

    def play(self, seconds: float, *, faces: Sequence[Box], more: Sequence[Box] = (), more_s: float = 0.0) -> None:
        """Process a still scene; further faces appear after some seconds."""
        start_s, image = self.time(), _scene([*faces, *more])
        for now_s in camera_times(self.time, seconds):
            self.detector.faces = [*faces, *(more if now_s >= more_s else ())]
            self.time.work(TRACK_S)
            self.results.append(self.pipeline(image, timestamp_s=now_s))
            self.ends_s.append(self.time() - start_s)
            self.latencies_s.append(self.ends_s[-1] - now_s)

    def latency_p95(self) -> float:
        """Return the 95th percentile of the latencies after the start, in mean intervals between results."""
        return float(np.percentile(self.latencies_s[21:], 95) / np.diff(self.ends_s[20:]).mean())

    def found(self, box: Box) -> list[bool]:
        return [any(face.box.iou(box) > 0.5 for face in result.faces) for result in self.results]


def _scene(faces: Sequence[Box]) -> Image:
    image = texture(1, SIZE_WH)
    for box in faces:
        cv2.circle(image, (box.x + box.w // 2, box.y + box.h // 2), box.w // 3, (250, 200, 180), -1)
    return image


LARGE_FACE, SMALL_FACE = Box(40, 60, 120, 120), Box(300, 100, 48, 48)


@pytest.mark.parametrize("scan_s", [0.1, 0.2], ids=["slow", "slower"])
def test_latency_stays_below_two_intervals(scan_s: float) -> None:
    board = Board(scan_s)
    board.play(20, faces=[LARGE_FACE], more=[SMALL_FACE], more_s=5)
    assert board.latency_p95() < 2
    assert min(board.detector.regions) < 0.35


def test_without_the_budget_latency_exceeds_two_intervals() -> None:
    board = Board(0.2, keep_pace=False)
    board.play(20, faces=[LARGE_FACE])
    assert board.latency_p95() > 2


@pytest.mark.parametrize(("scan_s", "share"), [(0.2, 0.9), (0.5, 0.75)], ids=["slow", "very-slow"])
def test_expressions_are_classified_nearly_as_often_as_on_a_fast_machine(scan_s: float, share: float) -> None:
    board, fast, unlimited = Board(scan_s), Board(0.001), Board(scan_s, keep_pace=False)
    for each in (board, fast, unlimited):
        each.play(20, faces=[LARGE_FACE])
    assert unlimited.classifier.count < board.classifier.count
    assert board.classifier.count > share * fast.classifier.count


@pytest.mark.parametrize("face", [LARGE_FACE, SMALL_FACE], ids=["large", "small"])
def test_new_face_is_found_on_a_slow_machine(face: Box) -> None:
    board = Board(0.3)
    board.play(15, faces=[], more=[face], more_s=4)
    found = board.found(face)
    first = found.index(True)
    assert 4 < board.ends_s[first] < 4 + 6
    assert all(found[first:])
    assert {len(result.faces) for result in board.results[first:]} == {1}


def test_searches_are_complete_again_when_there_is_time() -> None:
    board = Board(0.3)
    board.play(5, faces=[LARGE_FACE])
    board.detector._scan_s = 0.005
    board.play(5, faces=[LARGE_FACE])
    board.detector.regions.clear()
    board.play(5, faces=[LARGE_FACE])
    assert len(board.detector.regions) >= 5
    assert set(board.detector.regions) == {1.0}


@pytest.mark.parametrize("name", ["haar", "yunet"])
def test_machine_with_enough_time_finds_the_faces_of_a_recording(
    name: str, clip: Path, request: pytest.FixtureRequest
) -> None:
    detector: FaceDetector = HaarDetector() if name == "haar" else YuNetDetector(request.getfixturevalue("yunet"))

    pipeline, boxes = Pipeline(detector, CostlyClassifier(ManualTime())), []
    for enabled in (False, True):
        pipeline.reset()
        pipeline.keep_pace(enabled, clock=ManualTime())  # work takes no time
        with open_source(clip) as source:
            results = [pipeline(frame.image, timestamp_s=frame.timestamp_s) for frame in source]
        boxes.append([[face.box for face in result.faces] for result in results[3:]])
    assert [len(faces) for faces in boxes[0]] == [len(faces) for faces in boxes[1]] == [1] * len(boxes[0])
    assert all(recorded.iou(live) > 0.7 for [recorded], [live] in zip(*boxes, strict=True))


@pytest.mark.parametrize("name", ["haar", "yunet"])
def test_half_resolution_finds_large_faces_and_tiles_small_ones(
    name: str, portrait: Image, request: pytest.FixtureRequest
) -> None:
    detector = HaarDetector() if name == "haar" else YuNetDetector(request.getfixturevalue("yunet"))
    search = detector.create_search()
    assert isinstance(search, DivisibleSearch)
    large, small = texture(2, (640, 360)), texture(2, (640, 360))
    large[:, 200:560] = cv2.resize(portrait, (360, 360))
    small[100:240, 200:340] = cv2.resize(portrait, (140, 140), interpolation=cv2.INTER_AREA)
    side = search.small_face_side((640, 360), 0)
    assert side is not None
    assert 44 < side < 140
    assert any(place.side > side for place in search.run_reduced(Pyramid(large), 0, WHOLE, 1))
    tile = (0.2, 0.1, 0.6, 0.8)
    found = search.run_step(Pyramid(small), 0, tile)
    assert found
    assert all(abs(place.x - 270) < 25 for place in found)


def test_fixed_interval_of_searches_is_kept() -> None:
    board = Board(0.3)
    board.pipeline = Pipeline(board.detector, board.classifier, detect_every=2)
    board.pipeline.keep_pace(clock=board.time)
    board.play(4, faces=[LARGE_FACE])
    assert not board.detector.regions
    assert np.mean(np.array(board.latencies_s) > 0.3) == pytest.approx(0.5, abs=0.1)
