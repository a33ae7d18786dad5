from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer_train.networks.head import solve_head


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
    _, bias = solve_head(np.zeros((4, 3)), targets)
    assert bias[0] - bias[1] == pytest.approx(np.log(3), abs=0.02)


def test_soft_labels_are_reproduced() -> None:
    _, bias = solve_head(np.zeros((2, 1)), np.array([[0.7, 0.3], [0.5, 0.5]], np.float32))
    assert 1 / (1 + np.exp(bias[1] - bias[0])) == pytest.approx(0.6, abs=0.01)
