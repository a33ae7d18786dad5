from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer_train.networks.head import relate_labels, solve_head, transfer_head


def clusters(count: int, features: int, spread: float, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return (count, features) vectors around three centres in the first two dimensions, and their labels."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    centres = np.zeros((3, features))
    centres[:, :2] = [[0, 2], [2, 0], [-2, -2]]
    return centres[labels] + random.normal(0, spread, (count, features)), labels


def accuracy(weights: list[NDArray[np.float32]], points: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    return float(((points @ weights[0] + weights[1]).argmax(axis=1) == labels).mean())


def test_solved_head_separates_clusters() -> None:
    points, labels = clusters(60, 4, 0.5)
    points[:, 3] = 7.0  # a constant feature must not matter
    weights = solve_head(points, np.eye(3, dtype=np.float32)[labels], decay=1.0)
    assert [w.shape for w in weights] == [(4, 3), (3,)]
    assert accuracy(weights, points, labels) == 1.0
    np.testing.assert_allclose(weights[0][3], 0)


def test_bias_follows_the_label_shares_if_the_features_say_nothing() -> None:
    targets = np.eye(2, dtype=np.float32)[[0, 0, 0, 1]]
    _, bias = solve_head(np.zeros((4, 3)), targets, decay=50)
    assert bias[0] - bias[1] == pytest.approx(np.log(3), abs=0.02)


def test_soft_labels_are_reproduced() -> None:
    _, bias = solve_head(np.zeros((2, 1)), np.array([[0.7, 0.3], [0.5, 0.5]], np.float32), decay=50)
    assert 1 / (1 + np.exp(bias[1] - bias[0])) == pytest.approx(0.6, abs=0.01)


def test_relation_of_labels_is_found_in_doubtful_predictions() -> None:
    """Use predictions of 0.7 for the right old label; the fourth one never occurs."""
    old = np.arange(30) % 3
    probabilities = np.concatenate([0.1 + 0.6 * np.eye(3)[old], np.zeros((30, 1))], axis=1)
    relation = relate_labels(probabilities, np.eye(2, dtype=np.float32)[old // 2])
    np.testing.assert_allclose(relation[:3], np.eye(2)[[0, 0, 1]], atol=0.01)
    np.testing.assert_allclose(relation[3], 0.5)


FEATURES = 40


def old_head(points: NDArray[np.float64], labels: NDArray[np.int64]) -> list[NDArray[np.float32]]:
    return solve_head(points, np.eye(3, dtype=np.float32)[labels], decay=1)


def test_few_faces_suffice_if_the_labels_are_related() -> None:
    many, labels = clusters(900, FEATURES, 1.0)
    few, own = clusters(15, FEATURES, 1.0, seed=1)
    targets = np.eye(2, dtype=np.float32)[(own == 2).astype(int)]
    head, share = transfer_head(few[None], targets, old_head(many, labels))
    alone = solve_head(few, targets, decay=50)
    assert share < 1
    truth = (labels == 2).astype(np.int64)
    assert accuracy(head, many, truth) > accuracy(alone, many, truth) + 0.05


def test_labels_alone_determine_the_head_of_unrelated_labels() -> None:
    """Use labels that follow a feature which the old head ignores."""
    many, labels = clusters(900, FEATURES, 1.0)
    few, _ = clusters(60, FEATURES, 1.0, seed=1)
    few[:, 5] *= 4
    own = (few[:, 5] > 0).astype(np.int64)
    head, share = transfer_head(np.stack([few, few]), np.eye(2, dtype=np.float32)[own], old_head(many, labels))
    assert share == 1
    assert accuracy(head, few, own) > 0.95


@pytest.mark.parametrize("classes", [2, 7])
def test_one_face_per_label_is_enough(classes: int) -> None:
    few, _ = clusters(classes, FEATURES, 1.0)
    many, labels = clusters(90, FEATURES, 1.0)
    head, _ = transfer_head(few[None], np.eye(classes, dtype=np.float32), old_head(many, labels))
    assert [weight.shape for weight in head] == [(FEATURES, classes), (classes,)]
    assert all(np.isfinite(weight).all() for weight in head)
