"""Confidence calibration by temperature scaling (Guo et al. 2017, arXiv:1706.04599), cross-validated in two halves."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.expression.probabilities import log_softmax, softmax
from edgeinfer_train.evaluation.metrics import calibration_error

TEMPERATURE_RANGE = (0.05, 20.0)
MIN_FACES = 50
"""Smallest number of faces in each half for which a temperature is fitted."""


@dataclass(frozen=True, slots=True)
class ConfidenceCalibration:
    """Temperature of the softmax and the calibration error before and after.

    Attributes:
        temperature: Divisor of the logits: geometric mean of the temperatures fitted on the two halves, 0.05..20.
        error_before: Expected calibration error (15 bins) at temperature 1, mean over the halves, 0..1.
        error_after: Expected calibration error of each half at the temperature fitted on the other half, mean over
            the halves, 0..1.
        counts: Number of faces in each half.
    """

    temperature: float
    error_before: float
    error_after: float
    counts: tuple[int, int]


def calibrate_confidence(
    logits: NDArray[np.floating[Any]], labels: NDArray[np.int64], names: tuple[str, ...]
) -> ConfidenceCalibration | None:
    """Fit a temperature on each half of the faces and evaluate it on the other half.

    Args:
        logits: (N, K).
        labels: (N,) index of the correct label.
        names: N names of the faces. A hash of the name selects the half, independent of the other faces.

    Returns:
        The calibration, or None if a half has fewer than 50 faces.
    """
    first = np.array([hashlib.sha256(name.encode()).digest()[0] % 2 == 0 for name in names])
    halves = [first, ~first]
    counts = int(first.sum()), int((~first).sum())
    if min(counts) < MIN_FACES:
        return None
    temperatures = [fit_temperature(logits[half], labels[half]) for half in halves]
    before = [_error(logits[half], labels[half], 1.0) for half in halves]
    after = [_error(logits[half], labels[half], t) for half, t in zip(halves, reversed(temperatures), strict=True)]
    mean = float(np.exp(np.mean(np.log(temperatures))))
    return ConfidenceCalibration(float(f"{mean:.4g}"), float(np.mean(before)), float(np.mean(after)), counts)


def fit_temperature(logits: NDArray[np.floating[Any]], labels: NDArray[np.int64]) -> float:
    """Return the temperature that minimizes the cross-entropy, 0.05..20.

    The cross-entropy is convex in the inverse temperature, so the sign of its derivative drives a bisection.

    Args:
        logits: (N, K).
        labels: (N,) index of the correct label.
    """
    correct = np.take_along_axis(np.asarray(logits, np.float64), labels[:, None], axis=1)[:, 0]
    low, high = 1 / TEMPERATURE_RANGE[1], 1 / TEMPERATURE_RANGE[0]
    for _ in range(60):
        middle = (low * high) ** 0.5
        slope = float(((softmax(logits * middle) * logits).sum(axis=1) - correct).mean())
        low, high = (low, middle) if slope > 0 else (middle, high)
    return float(1 / np.sqrt(low * high))


def _error(logits: NDArray[np.floating[Any]], labels: NDArray[np.int64], temperature: float) -> float:
    confidence = np.exp(log_softmax(logits / temperature).max(axis=1))
    return calibration_error(confidence, logits.argmax(axis=1) == labels)
