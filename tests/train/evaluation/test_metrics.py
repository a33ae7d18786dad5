from __future__ import annotations

import json

import numpy as np
import pytest

from edgeinfer_train.evaluation.metrics import (
    bootstrap_interval,
    calibration_error,
    reliability,
    score,
    wilson_interval,
)

NAMES = ("a", "b", "c", "d")
LOGITS = np.log(
    [
        [0.7, 0.1, 0.1, 0.1],  # a, predicted a
        [0.1, 0.7, 0.1, 0.1],  # a, predicted b
        [0.1, 0.7, 0.1, 0.1],  # b, predicted b
        [0.1, 0.1, 0.1, 0.7],  # c, predicted d
    ]
)
LABELS = np.array([0, 0, 1, 2])


def test_metrics_match_manual_calculation() -> None:
    found = score(LOGITS, LABELS, NAMES)
    assert found.count == 4
    assert found.accuracy == 0.5
    assert found.loss == pytest.approx(-(2 * np.log(0.7) + 2 * np.log(0.1)) / 4)
    assert found.confusion == ((1, 1, 0, 0), (0, 1, 0, 0), (0, 0, 0, 1), (0, 0, 0, 0))
    assert [(s.count, s.recall, s.precision) for s in found.per_class.values()] == [
        (2, 0.5, 1.0), (1, 1.0, 0.5), (1, 0.0, 0.0), (0, 0.0, 0.0),
    ]  # fmt: skip
    assert found.macro_f1 == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert found.mean_recall == pytest.approx(0.5)
    assert found.labels_without_faces == ("d",)
    assert found.calibration_error == pytest.approx(0.2)  # 50 % accuracy at a confidence of 0.7


def test_loss_does_not_depend_on_a_logit_offset() -> None:
    assert score(LOGITS + 1000, LABELS, NAMES).loss == pytest.approx(score(LOGITS, LABELS, NAMES).loss)


def test_soft_labels_change_only_the_loss() -> None:
    soft = np.full((4, 4), 0.25, dtype=np.float32)
    hard, found = score(LOGITS, LABELS, NAMES), score(LOGITS, LABELS, NAMES, soft_labels=soft)
    assert found.loss == pytest.approx(-(np.log(0.7) + 3 * np.log(0.1)) / 4)
    assert {**found.to_mapping(), "loss": hard.loss} == hard.to_mapping()


def test_calibration_error_is_computed_per_bin() -> None:
    """Check that overconfidence and underconfidence cancel within a bin, but not between two bins."""
    correct = np.array([False, True])
    assert calibration_error(np.array([0.31, 0.71]), correct) == pytest.approx((0.31 + 0.29) / 2)
    assert calibration_error(np.array([0.47, 0.53]), correct) == pytest.approx(0)
    assert calibration_error(np.array([1 / 15, 1 / 15 + 1e-9]), correct) == pytest.approx(0.5)
    assert calibration_error(np.ones(3), np.ones(3, dtype=bool)) == 0


def test_metrics_convert_to_json() -> None:
    values = json.loads(json.dumps(score(LOGITS, LABELS, NAMES).to_mapping()))
    assert values["per_class"]["a"] == {
        "count": 2, "precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3),
        "recall_interval": pytest.approx([0.0945, 0.9055], abs=1e-4),
    }  # fmt: skip


def test_bootstrap_interval_contains_the_mean_and_is_reproducible() -> None:
    values = np.repeat([0.0, 1.0], [20, 80])
    low, high = bootstrap_interval(values)
    assert 0.7 < low < 0.8 < high < 0.9
    assert bootstrap_interval(values) == (low, high)
    assert bootstrap_interval(np.ones(10)) == (1.0, 1.0)


def test_wilson_interval_and_reliability() -> None:
    """Compare with the published example of Newcombe (1998): 81 of 263, and 0 of 20."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson_interval(0, 0) == (0.0, 1.0)
    bins = reliability(np.array([0.5, 0.52, 0.99]), np.array([True, False, True]))
    assert [(b.count, round(b.confidence, 2), b.accuracy) for b in bins] == [(2, 0.51, 0.5), (1, 0.99, 1.0)]
