"""Temperature scaling: the fitted temperature, and evaluation on held-out faces only."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from edgeinfer_export.verify.confidence import calibrate_confidence, fit_temperature


def draw_faces(count: int, temperature: float) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return logits, labels drawn from their softmax at a temperature, and names."""
    random = np.random.default_rng(5)
    logits = random.normal(0, 3, (count, 7))
    labels = (logits / temperature + random.gumbel(size=logits.shape)).argmax(1)
    return logits, labels, tuple(f"valid/{n}.png" for n in range(count))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_known_temperature_is_recovered(temperature: float) -> None:
    logits, labels, names = draw_faces(20_000, temperature)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.03)
    calibration = calibrate_confidence(logits, labels, names)
    assert calibration is not None
    assert calibration.temperature == pytest.approx(temperature, rel=0.03)
    assert calibration.error_after < 0.02
    assert calibration.error_before > 0.1 or temperature == 1.0
    assert sum(calibration.counts) == 20_000


def test_each_half_is_evaluated_with_the_temperature_of_the_other_half() -> None:
    logits, labels, names = draw_faces(4_000, 1.0)
    here = np.array([hashlib.sha256(n.encode()).digest()[0] % 2 == 0 for n in names])
    labels[here] = logits[here].argmax(1)  # all labels of one half are correct, so its temperature is the lowest
    calibration = calibrate_confidence(logits, labels, names)
    assert calibration is not None
    assert calibration.error_after > 0.1, "a half evaluated with its own temperature would have no error"


def test_halves_depend_on_names_and_not_on_order() -> None:
    logits, labels, names = draw_faces(1_000, 2.0)
    order = np.random.default_rng(1).permutation(1_000)
    assert calibrate_confidence(logits, labels, names) == calibrate_confidence(
        logits[order], labels[order], tuple(names[i] for i in order)
    )


def test_few_faces_give_no_calibration() -> None:
    assert calibrate_confidence(*draw_faces(60, 2.0)) is None


@pytest.mark.parametrize(("correct", "expected"), [(True, 0.05), (False, 20.0)], ids=["all correct", "all wrong"])
def test_temperature_is_limited_to_its_range(correct: bool, expected: float) -> None:
    logits = np.random.default_rng(2).normal(0, 3, (200, 3))
    labels = logits.argmax(1) if correct else logits.argmin(1)
    assert fit_temperature(logits, labels) == pytest.approx(expected, rel=1e-6)
