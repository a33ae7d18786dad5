"""The temperature: that it is found, and that nobody judges what he was fitted on."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from edgeinfer_export.verify.confidence import fit_confidence, fit_temperature


def world(count: int, temperature: float) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Faces whose labels are drawn from the softmax of their logits at a temperature."""
    random = np.random.default_rng(5)
    logits = random.normal(0, 3, (count, 7))
    labels = (logits / temperature + random.gumbel(size=logits.shape)).argmax(1)
    return logits, labels, tuple(f"valid/{n}.png" for n in range(count))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_of_a_known_world_is_found(temperature: float) -> None:
    logits, labels, names = world(20_000, temperature)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.03)
    found = fit_confidence(logits, labels, names)
    assert found is not None
    assert found.temperature == pytest.approx(temperature, rel=0.03)
    assert found.error_after < 0.02
    assert found.error_before > 0.1 or temperature == 1.0
    assert sum(found.counts) == 20_000


def test_each_half_is_judged_with_what_the_other_half_taught() -> None:
    logits, labels, names = world(4_000, 1.0)
    here = np.array([hashlib.sha256(n.encode()).digest()[0] % 2 == 0 for n in names])
    labels[here] = logits[here].argmax(1)  # one half is always right, so it asks for the lowest temperature
    found = fit_confidence(logits, labels, names)
    assert found is not None
    assert found.error_after > 0.1, "a half that judged itself would find no error at all"


def test_the_halves_follow_the_names_and_not_the_order() -> None:
    logits, labels, names = world(1_000, 2.0)
    order = np.random.default_rng(1).permutation(1_000)
    assert fit_confidence(logits, labels, names) == fit_confidence(
        logits[order], labels[order], tuple(names[i] for i in order)
    )


def test_few_faces_teach_no_temperature() -> None:
    assert fit_confidence(*world(60, 2.0)) is None


@pytest.mark.parametrize(("right", "expected"), [(True, 0.05), (False, 20.0)], ids=["always right", "always wrong"])
def test_the_temperature_stays_in_its_range(right: bool, expected: float) -> None:
    logits = np.random.default_rng(2).normal(0, 3, (200, 3))
    labels = logits.argmax(1) if right else logits.argmin(1)
    assert fit_temperature(logits, labels) == pytest.approx(expected, rel=1e-6)
