"""Differences between two variants on the same faces."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer_train.evaluation.metrics import change


def test_change_compares_the_same_faces() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 900)
    correct = np.eye(3)[labels]
    before, after = correct.copy(), correct.copy()
    before[:90] = np.roll(before[:90], 1, axis=1)
    after[:180] = np.roll(after[:180], 1, axis=1)
    difference = change(before, after, labels)
    assert difference.accuracy == pytest.approx(-0.1)
    low, high = difference.accuracy_interval
    assert -0.13 < low < -0.1 < high < -0.07, "90 of 900 faces, plus or minus two standard errors of one percent"
    assert difference.macro_f1 == pytest.approx(-0.1, abs=0.02)
    same = change(before, before, labels)
    assert (same.accuracy, same.accuracy_interval, same.macro_f1_interval) == (0.0, (0.0, 0.0), (0.0, 0.0))
