from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.expression.probabilities import log_softmax, softmax

LOGITS = np.array([[0.0, 1.0, 2.0], [3.0, 3.0, 3.0]])


def test_softmax_matches_its_definition() -> None:
    powers = np.exp(LOGITS)
    np.testing.assert_allclose(softmax(LOGITS), powers / powers.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(log_softmax(LOGITS), np.log(softmax(LOGITS)))


@pytest.mark.parametrize("offset", [-1e4, 1e4], ids=["very-negative", "very-large"])
def test_offset_of_all_logits_changes_nothing(offset: float) -> None:
    np.testing.assert_allclose(softmax(LOGITS + offset), softmax(LOGITS))
    np.testing.assert_allclose(log_softmax(LOGITS + offset), log_softmax(LOGITS), atol=1e-9)


def test_minus_infinity_has_probability_zero() -> None:
    assert softmax(np.array([[0.0, -np.inf]])).tolist() == [[1.0, 0.0]]


def test_log_softmax_stays_finite_where_softmax_underflows() -> None:
    logits = np.array([[0.0, -2000.0]])
    assert softmax(logits)[0, 1] == 0
    assert log_softmax(logits)[0, 1] == -2000


def test_float32_logits_are_computed_in_double_precision() -> None:
    narrow = LOGITS.astype(np.float32)
    assert softmax(narrow).dtype == log_softmax(narrow).dtype == np.float64
