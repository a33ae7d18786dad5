"""Confidence that means something: one temperature, fitted on half of the faces and judged on the other half."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer_train.evaluation.metrics import calibration_error, log_softmax

RANGE = (0.05, 20.0)
LEAST_FACES = 50
"""Faces in either half below which a temperature would be guessed."""


@dataclass(frozen=True, slots=True)
class Confidence:
    """How well probabilities meet the share of right answers, and what divides the logits for it.

    Attributes:
        temperature: geometric mean of what either half of the faces asks for.
        error_before: expected calibration error (15 bins) at temperature 1, 0..1, mean over the halves.
        error_after: on each half at the temperature fitted on the other one, mean over the halves.
        counts: faces in either half.
    """

    temperature: float
    error_before: float
    error_after: float
    counts: tuple[int, int]


def fit_confidence(
    logits: NDArray[np.floating[Any]], labels: NDArray[np.int64], names: tuple[str, ...]
) -> Confidence | None:
    """Fit on one half, judge on the other, swap, and average.

    Args:
        logits: (N, K).
        labels: (N,) index of the right one.
        names: N names of the faces; a hash of each decides its half, whatever else is in the set.

    Returns:
        None where a half has fewer than 50 faces.
    """
    first = np.array([hashlib.sha256(name.encode()).digest()[0] % 2 == 0 for name in names])
    halves = [first, ~first]
    counts = int(first.sum()), int((~first).sum())
    if min(counts) < LEAST_FACES:
        return None
    temperatures = [fit_temperature(logits[half], labels[half]) for half in halves]
    before = [_error(logits[half], labels[half], 1.0) for half in halves]
    after = [_error(logits[half], labels[half], t) for half, t in zip(halves, reversed(temperatures), strict=True)]
    shared = float(np.exp(np.mean(np.log(temperatures))))
    return Confidence(float(f"{shared:.4g}"), float(np.mean(before)), float(np.mean(after)), counts)


def fit_temperature(logits: NDArray[np.floating[Any]], labels: NDArray[np.int64]) -> float:
    """The temperature of the least cross-entropy (Guo et al. 2017, arXiv:1706.04599), in 0.05..20.

    The cross-entropy is convex in the inverse temperature, so halving an interval at its slope's sign finds it.

    Args:
        logits: (N, K).
        labels: (N,) index of the right one.
    """
    right = np.take_along_axis(np.asarray(logits, np.float64), labels[:, None], axis=1)[:, 0]
    low, high = 1 / RANGE[1], 1 / RANGE[0]
    for _ in range(60):
        middle = (low * high) ** 0.5
        shares = np.exp(log_softmax(logits * middle))
        slope = float(((shares * logits).sum(axis=1) - right).mean())
        low, high = (low, middle) if slope > 0 else (middle, high)
    return float(1 / np.sqrt(low * high))


def _error(logits: NDArray[np.floating[Any]], labels: NDArray[np.int64], temperature: float) -> float:
    confidence = np.exp(log_softmax(logits / temperature).max(axis=1))
    return calibration_error(confidence, logits.argmax(axis=1) == labels)
