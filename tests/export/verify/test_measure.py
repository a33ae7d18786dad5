"""Times and differences of several forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import edgeinfer_export.verify.measure as module
from edgeinfer_export.verify.measure import latencies_ms
from edgeinfer_train.evaluation.metrics import change

FACES = np.zeros((3, 4, 4, 1), np.uint8)


class Counted:
    """A session that notes its calls in a list that all share."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self._name, self._calls = name, calls

    def run(self, *_: object) -> None:
        self._calls.append(self._name)


def test_sessions_take_turns_and_the_warm_up_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WARM_UP", 2)
    monkeypatch.setattr(module, "ROUNDS", (3, 5))
    calls: list[str] = []
    sessions: Any = [Counted(name, calls) for name in "ab"]
    times = latencies_ms(sessions, FACES)
    assert times.shape == (2, 5)
    assert (times >= 0).all()
    assert calls == ["a", "b"] * 7


def test_slow_models_get_fewer_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUDGET_S", 0.0)
    sessions: Any = [Counted("a", [])]
    assert latencies_ms(sessions, FACES).shape == (1, module.ROUNDS[0] + 1)


def test_a_change_is_measured_on_the_same_faces() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 900)
    right = np.eye(3)[labels]
    before, after = right.copy(), right.copy()
    before[:90] = np.roll(before[:90], 1, axis=1)
    after[:180] = np.roll(after[:180], 1, axis=1)
    found = change(before, after, labels)
    assert found.accuracy == pytest.approx(-0.1)
    low, high = found.accuracy_interval
    assert -0.13 < low < -0.1 < high < -0.07, "90 faces of 900, give or take two standard errors of one percent"
    assert found.macro_f1 == pytest.approx(-0.1, abs=0.02)
    same = change(before, before, labels)
    assert (same.accuracy, same.accuracy_interval, same.macro_f1_interval) == (0.0, (0.0, 0.0), (0.0, 0.0))
