from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinfer import ModelError
from edgeinfer.detection import yunet_network
from edgeinfer.detection.yunet_network import Detection, YuNetNetwork
from edgeinfer.results import Image
from tools.world import World, darker, texture


@pytest.fixture(scope="module")
def network(yunet: Path) -> YuNetNetwork:
    return YuNetNetwork(yunet)


def two_faces(portrait: Image, size_wh: tuple[int, int]) -> Image:
    """Return a frame with two faces, of which the frame cuts off one."""
    width, height = size_wh
    heads = {
        "a": (portrait, lambda _: (0.3 * width, 0.5 * height, 0.3 * height)),
        "b": (darker(portrait), lambda _: (0.95 * width, 0.6 * height, 0.45 * height)),
    }
    return World(heads, texture(3, size_wh)).at(0)[0]


@pytest.mark.parametrize("size_wh", [(640, 352), (640, 360), (333, 251), (270, 480)], ids="{0[0]}x{0[1]}".format)
@pytest.mark.parametrize("min_score", [0.7, 0.3])
def test_detections_are_those_of_opencv(
    network: YuNetNetwork, yunet: Path, portrait: Image, size_wh: tuple[int, int], min_score: float
) -> None:
    image = two_faces(portrait, size_wh)
    reference = cv2.FaceDetectorYN.create(str(yunet), "", size_wh, min_score)
    expected = np.asarray(reference.detect(image)[1])
    found = network.detect(image, min_score)
    assert len(found) == len(expected) >= 1
    for face, row in zip(found, expected[np.argsort(-expected[:, 14])], strict=True):
        assert face.xywh == pytest.approx(row[:4], abs=1.0)
        assert np.ravel(face.points) == pytest.approx(row[4:14], abs=1.0)
        assert face.score == pytest.approx(row[14], abs=0.01)


def test_clip_is_searched_as_by_opencv(network: YuNetNetwork, yunet: Path, clip: Path) -> None:
    capture = cv2.VideoCapture(str(clip))
    reference = cv2.FaceDetectorYN.create(str(yunet), "", (320, 240), 0.7)
    for _ in range(5):
        image = np.asarray(capture.read()[1], np.uint8)
        ((*expected, score),) = np.asarray(reference.detect(image)[1]).tolist()
        (face,) = network.detect(image, 0.7)
        assert [*face.xywh, *np.ravel(face.points)] == pytest.approx(expected, abs=1.0)
        assert face.score == pytest.approx(score, abs=0.01)


def test_points_lie_in_the_face(network: YuNetNetwork, portrait: Image) -> None:
    (face,) = network.detect(portrait, 0.7)
    (right_eye_x, eye_y), (left_eye_x, _), (nose_x, nose_y), _, (_, mouth_y) = face.points
    assert right_eye_x < nose_x < left_eye_x
    assert eye_y < nose_y < mouth_y


@pytest.mark.parametrize("size_hw", [(1, 1), (33, 70)])
def test_empty_picture_has_no_faces(network: YuNetNetwork, size_hw: tuple[int, int]) -> None:
    assert network.detect(np.zeros((*size_hw, 3), np.uint8), 0.3) == []


def test_detection_is_mapped_to_the_frame() -> None:
    found = Detection((1.0, 2.0, 3.0, 4.0), 0.9, ((1.0, 1.0),)).mapped(2.0, 100, 50)
    assert found == Detection((102.0, 54.0, 6.0, 8.0), 0.9, ((102.0, 52.0),))


def outputs(scores: list[float], bbox: list[float]) -> list[np.ndarray[Any, Any]]:
    """Return outputs for a picture of 32x32 pixels: the same box at every position of the finest stride."""
    arrays = []
    for kind, count in enumerate((1, 1, 4, 10)):
        for positions in (16, 4, 1):
            part = np.zeros((1, positions, count), np.float32)
            if positions == 16 and kind < 2:
                part[0, : len(scores), 0] = scores
            elif positions == 16 and kind == 2:
                part[0] = bbox
            arrays.append(part)
    return arrays


@pytest.mark.parametrize(
    ("scores", "bbox", "count"),
    [
        pytest.param([0.9] * 16, [0, 0, 3, 3], 1, id="duplicates"),
        pytest.param([0.9] * 16, [0, 0, 0, 0], 16, id="adjacent"),
        pytest.param([0.9, 0.8, 0.4], [0, 0, 0, 0], 2, id="low-score"),
        pytest.param([0.9] * 16, [np.nan, 0, 0, 0], 0, id="not-a-number"),
        pytest.param([0.9] * 16, [0, 0, 1000, 1000], 1, id="huge"),
        pytest.param([np.nan] * 16, [0, 0, 0, 0], 0, id="score-not-a-number"),
    ],
)
def test_outputs_are_decoded(
    network: YuNetNetwork, monkeypatch: pytest.MonkeyPatch, scores: list[float], bbox: list[float], count: int
) -> None:
    monkeypatch.setattr(yunet_network, "run_session", lambda *_: outputs(scores, bbox))
    found = network.detect(np.zeros((32, 32, 3), np.uint8), 0.7)
    assert len(found) == count
    assert all(np.isfinite(face.xywh).all() for face in found)


def test_number_of_candidates_is_limited(network: YuNetNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        yunet_network, "run_session", lambda *_: outputs([0.75 + 0.01 * n for n in range(16)], [0.0] * 4)
    )
    monkeypatch.setattr(yunet_network, "MAX_CANDIDATES", 3)
    scores = [face.score for face in network.detect(np.zeros((32, 32, 3), np.uint8), 0.7)]
    assert scores == pytest.approx([0.9, 0.89, 0.88])


def test_outputs_of_an_unexpected_shape_are_rejected(network: YuNetNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yunet_network, "run_session", lambda *_: outputs([0.9], [0.0] * 4))
    with pytest.raises(ModelError, match="unexpected shapes"):
        network.detect(np.zeros((64, 32, 3), np.uint8), 0.7)
