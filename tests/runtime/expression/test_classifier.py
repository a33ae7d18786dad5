from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer import EmotionClassifier, ModelError, UsageError
from edgeinfer.model.cost import MAX_BATCH
from tools.tiny_model import BIAS, LABELS, metadata, model_bytes, put, write_model

DARK, BRIGHT = np.zeros((20, 30), np.uint8), np.full((90, 70, 3), 250, np.uint8)


def test_crops_of_any_size_and_colour_are_classified_in_order(classifier: EmotionClassifier) -> None:
    emotions = classifier.classify([DARK, BRIGHT, DARK])
    assert [emotion.label for emotion in emotions] == ["neutral", "happy", "neutral"]
    assert classifier.labels == LABELS


def test_many_crops_are_classified_in_batches_and_in_order(classifier: EmotionClassifier) -> None:
    emotions = classifier.classify([DARK, BRIGHT, BRIGHT] * MAX_BATCH)
    assert [emotion.label for emotion in emotions] == ["neutral", "happy", "happy"] * MAX_BATCH


def test_probabilities_sum_to_one_and_confidence_is_the_largest(classifier: EmotionClassifier) -> None:
    for emotion in classifier.classify([DARK, BRIGHT]):
        assert tuple(emotion.probabilities) == LABELS
        assert sum(emotion.probabilities.values()) == pytest.approx(1)
        assert emotion.confidence == max(emotion.probabilities.values()) == emotion.probabilities[emotion.label]


def test_no_crops_give_an_empty_list(classifier: EmotionClassifier) -> None:
    assert classifier.classify([]) == []


def test_temperature_lowers_the_confidence(tmp_path: Path, classifier: EmotionClassifier) -> None:
    scaled = EmotionClassifier.load(write_model(tmp_path / "scaled.onnx", keys=metadata(temperature="4.0")))
    grey = np.full((8, 8), 100, np.uint8)
    before, after = classifier.classify([grey])[0], scaled.classify([grey])[0]
    assert after.label == before.label
    assert after.confidence < before.confidence


@pytest.mark.parametrize(
    ("crop", "message"),
    [
        pytest.param(np.zeros((4, 4), np.float32), "float32", id="float"),
        pytest.param(np.zeros((0, 4), np.uint8), "shape", id="empty"),
        pytest.param(np.zeros((4, 4, 4), np.uint8), "shape", id="four-channels"),
        pytest.param([[1, 2]], "list", id="list"),
    ],
)
def test_invalid_crops_are_rejected(classifier: EmotionClassifier, crop: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        classifier.classify([crop])


def test_threads_below_one_are_rejected(tiny_model: Path) -> None:
    with pytest.raises(UsageError, match="threads"):
        EmotionClassifier.load(tiny_model, threads=0)


@pytest.mark.parametrize("number", [pytest.param(float("nan"), id="nan"), pytest.param(float("inf"), id="infinite")])
def test_outputs_that_are_not_finite_are_rejected(tmp_path: Path, number: float) -> None:
    path, right = tmp_path / "damaged.onnx", struct.pack("<7f", *BIAS)
    path.write_bytes(model_bytes().replace(right, struct.pack("<7f", number, *BIAS[1:])))
    with pytest.raises(ModelError, match="finite"):
        EmotionClassifier.load(path).classify([BRIGHT])


def test_failure_during_inference_raises_a_model_error(tmp_path: Path) -> None:
    path, right, wrong = tmp_path / "failing.onnx", put(1, "mean") + put(1, "slope"), put(1, "slope") + put(1, "mean")
    path.write_bytes(model_bytes().replace(right, wrong))
    classifier = EmotionClassifier.load(path)  # swapped operands: (1, 7) @ (batch, 1) is invalid for one crop
    with pytest.raises(ModelError, match="inference failed"):
        classifier.classify([BRIGHT])
