from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeinfer import Box, Emotion, EmotionClassifier, Pipeline, Pose, load_pipeline
from edgeinfer.expression.reliability import soften, temperature
from edgeinfer.results import Image
from tools.fakes import FakeDetector

SHARES = Emotion("happy", 0.7, {"neutral": 0.3, "happy": 0.7, "fear": 0.0})


@pytest.mark.parametrize("value", [1.0, 1.5, 20.0])
def test_softening_keeps_the_order_of_the_labels(value: float) -> None:
    softened = soften(SHARES, value)
    assert softened.label == "happy"
    assert softened.confidence == softened.probabilities["happy"] <= SHARES.confidence
    assert softened.probabilities["happy"] > softened.probabilities["neutral"] > softened.probabilities["fear"] == 0
    assert sum(softened.probabilities.values()) == pytest.approx(1)


def test_tiny_and_rolled_faces_are_softened() -> None:
    upright, rolled = Pose(0, 60, 0), Pose(-50, 0, 0)
    assert temperature(Box(0, 0, 16, 20)) == temperature(Box(0, 0, 90, 90, pose=upright)) == 1
    assert 1 < temperature(Box(0, 0, 10, 14)) < temperature(Box(0, 0, 8, 14))
    assert 1 < temperature(Box(0, 0, 90, 90, pose=Pose(30, 0, 0))) < temperature(Box(0, 0, 90, 90, pose=rolled))


@pytest.mark.parametrize("track", [True, False], ids=["tracked", "stills"])
def test_rolled_face_has_the_same_label_with_less_confidence(classifier: EmotionClassifier, track: bool) -> None:
    image = np.full((60, 80, 3), 200, np.uint8)
    upright, rolled = (
        Pipeline(FakeDetector([Box(10, 10, 30, 30, pose=Pose(roll, 0, 0))]), classifier, track=track)(image).faces[0]
        for roll in (0, 60)
    )
    assert rolled.raw.label == upright.raw.label
    assert rolled.raw.confidence < upright.raw.confidence


def test_yunet_faces_are_cropped_as_those_of_the_cascade(yunet: Path, portrait: Image) -> None:
    haar = load_pipeline(track=False)
    network = load_pipeline(detector="yunet", detector_model=yunet, track=False)
    (expected,), (found,) = haar(portrait).faces, network(portrait).faces
    crop = network.detector.crop_box(found.box)  # type: ignore[attr-defined]
    assert crop.iou(expected.box) > max(0.8, found.box.iou(expected.box))
    assert found.raw.label == expected.raw.label
