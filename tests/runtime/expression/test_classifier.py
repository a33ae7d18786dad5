from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer import EmotionClassifier, ModelError, UsageError
from edgeinfer.model.session import MAX_BATCH
from tools.tiny_model import BIAS, LABELS, metadata, model_bytes, put, write_model

DARK, BRIGHT = np.zeros((20, 30), np.uint8), np.full((90, 70, 3), 250, np.uint8)


def test_answers_in_order_for_any_size_and_colour(classifier: EmotionClassifier) -> None:
    answers = classifier.classify([DARK, BRIGHT, DARK])
    assert [a.label for a in answers] == ["neutral", "happy", "neutral"]
    assert classifier.labels == LABELS


def test_a_crowd_is_read_in_parts_and_in_order(classifier: EmotionClassifier) -> None:
    answers = classifier.classify([DARK, BRIGHT, BRIGHT] * MAX_BATCH)
    assert [a.label for a in answers] == ["neutral", "happy", "happy"] * MAX_BATCH


def test_probabilities_sum_to_one_and_confidence_is_the_largest(classifier: EmotionClassifier) -> None:
    for answer in classifier.classify([DARK, BRIGHT]):
        assert tuple(answer.probabilities) == LABELS
        assert sum(answer.probabilities.values()) == pytest.approx(1)
        assert answer.confidence == max(answer.probabilities.values()) == answer.probabilities[answer.label]


def test_no_crops_no_answers(classifier: EmotionClassifier) -> None:
    assert classifier.classify([]) == []


def test_temperature_flattens_the_answer(tmp_path: Path, classifier: EmotionClassifier) -> None:
    cool = EmotionClassifier.load(write_model(tmp_path / "cool.onnx", keys=metadata(temperature="4.0")))
    grey = np.full((8, 8), 100, np.uint8)
    sharp, flat = classifier.classify([grey])[0], cool.classify([grey])[0]
    assert flat.label == sharp.label
    assert flat.confidence < sharp.confidence


@pytest.mark.parametrize(
    ("crop", "says"),
    [
        pytest.param(np.zeros((4, 4), np.float32), "float32", id="float"),
        pytest.param(np.zeros((0, 4), np.uint8), "shape", id="empty"),
        pytest.param(np.zeros((4, 4, 4), np.uint8), "shape", id="four-channels"),
        pytest.param([[1, 2]], "list", id="list"),
    ],
)
def test_wrong_crops(classifier: EmotionClassifier, crop: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        classifier.classify([crop])


def test_threads_below_one_are_refused(tiny_model: Path) -> None:
    with pytest.raises(UsageError, match="threads"):
        EmotionClassifier.load(tiny_model, threads=0)


@pytest.mark.parametrize("number", [pytest.param(float("nan"), id="nan"), pytest.param(float("inf"), id="infinite")])
def test_answers_that_are_no_numbers(tmp_path: Path, number: float) -> None:
    path, right = tmp_path / "damaged.onnx", struct.pack("<7f", *BIAS)
    path.write_bytes(model_bytes().replace(right, struct.pack("<7f", number, *BIAS[1:])))
    with pytest.raises(ModelError, match="finite"):
        EmotionClassifier.load(path).classify([BRIGHT])


def test_a_model_that_fails_while_it_runs(tmp_path: Path) -> None:
    path, right, wrong = tmp_path / "failing.onnx", put(1, "mean") + put(1, "slope"), put(1, "slope") + put(1, "mean")
    path.write_bytes(model_bytes().replace(right, wrong))
    classifier = EmotionClassifier.load(path)  # 7 columns by as many rows as the batch has: wrong for one face
    with pytest.raises(ModelError, match="fails while it runs"):
        classifier.classify([BRIGHT])
