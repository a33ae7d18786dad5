"""Figures of merit from logits and labels; numpy alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CALIBRATION_BINS = 15


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One label's figures.

    Attributes:
        count: faces with this label.
        precision: share of the faces called so that are so; 0 when none is called so.
        recall: share of the faces that are so that are called so; 0 when there is none.
        f1: harmonic mean of the two.
    """

    count: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Metrics:
    """How well logits meet labels.

    Attributes:
        count: faces in all.
        loss: mean cross-entropy against the label, or against the soft labels where they were given, in nats.
        accuracy: share of faces whose largest logit is their label.
        accuracy_interval: 95 % bootstrap interval of the accuracy (1,000 draws, seed 0).
        macro_f1: mean F1 over the labels that have faces.
        mean_recall: mean recall over the labels that have faces.
        calibration_error: expected gap between confidence and accuracy, 0..1; see `calibration_error`.
        per_class: by label, in the model's order.
        confusion: rows are labels, columns are answers, counts.
        labels_without_faces: labels that no figure speaks of.
    """

    count: int
    loss: float
    accuracy: float
    accuracy_interval: tuple[float, float]
    macro_f1: float
    mean_recall: float
    calibration_error: float
    per_class: dict[str, ClassScore]
    confusion: tuple[tuple[int, ...], ...]
    labels_without_faces: tuple[str, ...]

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def score(
    logits: NDArray[np.floating[Any]],
    labels: NDArray[np.int64],
    names: tuple[str, ...],
    *,
    soft_labels: NDArray[np.float32] | None = None,
) -> Metrics:
    """Compare logits with labels.

    Args:
        logits: (N, K), N at least 1.
        labels: (N,) index into `names`.
        names: K labels.
        soft_labels: (N, K) distributions for the loss; by default all of the weight lies on the label.
    """
    log_likelihood = log_softmax(logits)
    targets = np.eye(len(names))[labels] if soft_labels is None else soft_labels
    answers = np.asarray(logits).argmax(axis=1)
    confusion = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(confusion, (labels, answers), 1)
    per_class = {name: _class_score(confusion, index) for index, name in enumerate(names)}
    present = [s for s in per_class.values() if s.count]
    right = answers == labels
    return Metrics(
        count=len(labels),
        loss=float(-(targets * log_likelihood).sum(axis=1).mean()),
        accuracy=float(right.mean()),
        accuracy_interval=bootstrap_interval(right.astype(np.float64)),
        macro_f1=float(np.mean([s.f1 for s in present])),
        mean_recall=float(np.mean([s.recall for s in present])),
        calibration_error=calibration_error(np.exp(log_likelihood.max(axis=1)), right),
        per_class=per_class,
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
        labels_without_faces=tuple(name for name, s in per_class.items() if not s.count),
    )


@dataclass(frozen=True, slots=True)
class Change:
    """How one set of answers differs from another on the same faces; above 0 is better.

    Attributes:
        accuracy: difference of the accuracies, -1..1.
        accuracy_interval: its 95 % bootstrap interval over faces (1,000 draws, seed 0).
        macro_f1: difference of the mean F1 over the labels that have faces, -1..1.
        macro_f1_interval: its interval, from the same draws.
    """

    accuracy: float
    accuracy_interval: tuple[float, float]
    macro_f1: float
    macro_f1_interval: tuple[float, float]


def change(
    before: NDArray[np.floating[Any]], after: NDArray[np.floating[Any]], labels: NDArray[np.int64], *, draws: int = 1000
) -> Change:
    """Compare two sets of answers to the same faces, face by face.

    Args:
        before: (N, K) logits.
        after: (N, K) logits.
        labels: (N,) index of the right one.
        draws: resamples of the faces.
    """
    kinds = before.shape[1]
    cells = [(labels * kinds + answers.argmax(axis=1)).astype(np.int64) for answers in (before, after)]
    random = np.random.default_rng(0)

    def difference(faces: NDArray[np.int64]) -> tuple[float, float]:
        tables = [np.bincount(c[faces], minlength=kinds * kinds).reshape(kinds, kinds) for c in cells]
        accuracies = [float(np.trace(table)) / len(faces) for table in tables]
        scores = [_mean_f1(table) for table in tables]
        return accuracies[1] - accuracies[0], scores[1] - scores[0]

    accuracy, macro_f1 = difference(np.arange(len(labels)))
    drawn = np.array([difference(random.integers(0, len(labels), len(labels))) for _ in range(draws)])
    (low_a, low_f), (high_a, high_f) = np.quantile(drawn, [0.025, 0.975], axis=0).tolist()
    return Change(accuracy, (low_a, high_a), macro_f1, (low_f, high_f))


def _mean_f1(confusion: NDArray[np.int64]) -> float:
    there = confusion.sum(axis=1)
    f1 = 2 * np.diag(confusion) / np.maximum(there + confusion.sum(axis=0), 1)
    return float(f1[there > 0].mean())


def log_softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """(N, K) logits to (N, K) logarithms of probabilities, in nats."""
    wide = np.asarray(logits, dtype=np.float64)
    shifted = wide - wide.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Expected calibration error over 15 bins of equal width (Guo et al. 2017, arXiv:1706.04599).

    Args:
        confidence: (N,) probability of each answer, 0..1.
        right: (N,) whether it is the label.

    Returns:
        Mean distance of confidence and accuracy over the bins, weighted by their faces, 0..1.
    """
    # A bin holds its upper bound, as in the paper.
    bins = np.ceil(confidence * CALIBRATION_BINS).astype(np.int64)
    gaps = np.bincount(bins, weights=confidence - right)
    return float(np.abs(gaps).sum() / len(bins))


def bootstrap_interval(values: NDArray[np.float64], *, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of the mean of values (Efron 1979).

    Args:
        values: (N,) one value a face.
        draws: resamples with replacement.
        seed: of the resampling.
    """
    random = np.random.default_rng(seed)
    means = [values[random.integers(0, len(values), len(values))].mean() for _ in range(draws)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _class_score(confusion: NDArray[np.int64], index: int) -> ClassScore:
    count, called, hit = (
        int(confusion[index].sum()),
        int(confusion[:, index].sum()),
        int(confusion[index, index]),
    )
    precision, recall = hit / called if called else 0.0, hit / count if count else 0.0
    f1 = 2 * precision * recall / (precision + recall) if hit else 0.0
    return ClassScore(count, precision, recall, f1)
