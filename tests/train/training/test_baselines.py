from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer_train.datasets.load import Faces
from edgeinfer_train.training.baselines import measure_baselines
from edgeinfer_train.training.selection import Selection


def make_faces(labels: list[int], kinds: int) -> Faces:
    random, known = np.random.default_rng(0), np.array(labels)
    images = random.integers(0, 255, (len(labels), 64, 64, 1)).astype(np.uint8)
    return Faces(images, known, np.eye(kinds, dtype=np.float32)[known], tuple(map(str, range(len(labels)))))


def one_hot(answers: list[int], kinds: int) -> NDArray[np.float32]:
    return np.eye(kinds, dtype=np.float32)[answers]


def test_constant_baseline_is_the_most_frequent_training_label() -> None:
    valid, train = make_faces([0, 0, 0, 1], 2), make_faces([1, 1, 0], 2)
    (constant,) = measure_baselines(one_hot([0, 0, 1, 1], 2), valid, train, ("müde", "wach"), None)
    assert (constant.name, constant.description, constant.count) == ("constant", "always wach", 4)
    assert (constant.accuracy, constant.run_accuracy) == (0.25, 0.75)
    assert constant.change.accuracy == pytest.approx(0.5)
    low, high = constant.change.accuracy_interval
    assert low < 0.5 < high


def test_cross_validated_faces_count_for_constant_and_start() -> None:
    valid, train = make_faces([0, 1], 2), make_faces([0, 1, 0], 2)
    truth = np.array([0, 1, 0, 1, 0])
    selection = Selection("x", truth, one_hot([0, 0, 0, 0, 0], 2), one_hot([0, 1, 0, 1, 1], 2), 2)
    constant, start = measure_baselines(one_hot([0, 1], 2), valid, train, ("a", "b"), selection)
    assert (constant.count, start.count) == (5, 5)
    assert (start.name, start.accuracy, start.run_accuracy) == ("start", 0.6, 0.8)


def test_bundled_model_is_a_baseline_for_its_own_labels_in_any_order_and_size() -> None:
    labels = ("Happiness", "neutral", "sad")
    found = measure_baselines(one_hot([0, 1, 2], 3), make_faces([0, 1, 2], 3), make_faces([0, 1, 2], 3), labels, None)
    assert [(b.name, b.description) for b in found][1:] == [("bundled", "bundled edgenet-ferplus8-int8")]
