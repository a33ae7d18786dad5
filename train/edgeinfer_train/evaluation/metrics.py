"""Classification metrics from logits and labels; depends on numpy only."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.expression.probabilities import log_softmax

CALIBRATION_BINS = 15


@dataclass(frozen=True, slots=True)
class ClassScore:
    """Metrics of one label.

    Attributes:
        count: Faces with this label.
        precision: Share of correct predictions among those of this label, 0..1; 0 without predictions.
        recall: Share of correct predictions among the faces with this label, 0..1; 0 without faces.
        f1: Harmonic mean of precision and recall, 0..1.
        recall_interval: 95 % interval of the recall (Wilson 1927), 0..1; (0, 1) without faces.
    """

    count: int
    precision: float
    recall: float
    f1: float
    recall_interval: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Predictions whose confidence is in one bin.

    Attributes:
        count: Number of predictions, 1 or more.
        confidence: Mean confidence, 0..1.
        accuracy: Share of correct predictions, 0..1.
    """

    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Metrics:
    """Metrics of a model on a set of faces.

    Attributes:
        count: Number of faces.
        loss: Mean cross-entropy against the label, or against the soft labels if there are any, in nats.
        accuracy: Share of faces whose largest logit is their label, 0..1.
        accuracy_interval: 95 % bootstrap interval of the accuracy (1,000 resamples, seed 0).
        macro_f1: Mean F1 over the labels that have faces, 0..1.
        mean_recall: Mean recall over the labels that have faces, 0..1.
        calibration_error: Expected calibration error, 0..1; see `calibration_error`.
        per_class: Metrics by label, in the model's order.
        confusion: Counts; rows are labels, columns are predictions.
        labels_without_faces: Labels that are excluded from the means because they have no faces.
        reliability: Confidence and accuracy of the predictions in bins of equal width; bins without any are left out.
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
    reliability: tuple[ReliabilityBin, ...] = ()

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def score(
    logits: NDArray[np.floating[Any]],
    labels: NDArray[np.int64],
    names: tuple[str, ...],
    *,
    soft_labels: NDArray[np.float32] | None = None,
) -> Metrics:
    """Compute metrics from logits and labels.

    Args:
        logits: (N, K), N at least 1.
        labels: (N,) indices into `names`.
        names: K label names.
        soft_labels: (N, K) label distributions for the loss; None uses one-hot labels.

    Examples:
        >>> metrics = score(np.array([[2.0, 0.0], [1.0, 0.0]]), np.array([0, 1]), ("neutral", "happy"))
        >>> metrics.accuracy, metrics.confusion
        (0.5, ((1, 0), (1, 0)))
    """
    log_likelihood = log_softmax(logits)
    targets = np.eye(len(names))[labels] if soft_labels is None else soft_labels
    predictions = np.asarray(logits).argmax(axis=1)
    confusion = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(confusion, (labels, predictions), 1)
    per_class = {name: _class_score(confusion, index) for index, name in enumerate(names)}
    present = [s for s in per_class.values() if s.count]
    correct, confidence = predictions == labels, np.exp(log_likelihood.max(axis=1))
    return Metrics(
        count=len(labels),
        loss=float(-(targets * log_likelihood).sum(axis=1).mean()),
        accuracy=float(correct.mean()),
        accuracy_interval=bootstrap_interval(correct.astype(np.float64)),
        macro_f1=float(np.mean([s.f1 for s in present])),
        mean_recall=float(np.mean([s.recall for s in present])),
        calibration_error=calibration_error(confidence, correct),
        per_class=per_class,
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
        labels_without_faces=tuple(name for name, s in per_class.items() if not s.count),
        reliability=reliability(confidence, correct),
    )


@dataclass(frozen=True, slots=True)
class Change:
    """Difference between the predictions of two models on the same faces; positive values are improvements.

    Attributes:
        accuracy: Difference in accuracy, -1..1.
        accuracy_interval: 95 % bootstrap interval of this difference over faces (1,000 resamples, seed 0).
        macro_f1: Difference in mean F1 over the labels that have faces, -1..1.
        macro_f1_interval: 95 % interval of this difference, from the same resamples.
    """

    accuracy: float
    accuracy_interval: tuple[float, float]
    macro_f1: float
    macro_f1_interval: tuple[float, float]


def change(
    before: NDArray[np.floating[Any]], after: NDArray[np.floating[Any]], labels: NDArray[np.int64], *, draws: int = 1000
) -> Change:
    """Compute the paired difference between two sets of predictions.

    Args:
        before: (N, K) logits.
        after: (N, K) logits for the same faces.
        labels: (N,) indices of the labels.
        draws: Number of bootstrap resamples.
    """
    kinds = before.shape[1]
    cells = [(labels * kinds + logits.argmax(axis=1)).astype(np.int64) for logits in (before, after)]
    random = np.random.default_rng(0)

    def difference(faces: NDArray[np.int64]) -> tuple[float, float]:
        tables = [np.bincount(c[faces], minlength=kinds * kinds).reshape(kinds, kinds) for c in cells]
        accuracies = [float(np.trace(table)) / len(faces) for table in tables]
        scores = [_mean_f1(table) for table in tables]
        return accuracies[1] - accuracies[0], scores[1] - scores[0]

    accuracy, macro_f1 = difference(np.arange(len(labels)))
    resampled = np.array([difference(random.integers(0, len(labels), len(labels))) for _ in range(draws)])
    (low_a, low_f), (high_a, high_f) = np.quantile(resampled, [0.025, 0.975], axis=0).tolist()
    return Change(accuracy, (low_a, high_a), macro_f1, (low_f, high_f))


def _mean_f1(confusion: NDArray[np.int64]) -> float:
    counts = confusion.sum(axis=1)
    f1 = 2 * np.diag(confusion) / np.maximum(counts + confusion.sum(axis=0), 1)
    return float(f1[counts > 0].mean())


def calibration_error(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> float:
    """Compute the expected calibration error over 15 bins of equal width (Guo et al. 2017, arXiv:1706.04599).

    Args:
        confidence: (N,) probability of each prediction, 0..1.
        correct: (N,) bool, True if the prediction is the label.

    Returns:
        Mean absolute difference between confidence and accuracy over the bins, weighted by face count, 0..1.
    """
    gaps = np.bincount(_bins(confidence), weights=confidence - correct)
    return float(np.abs(gaps).sum() / len(confidence))


def reliability(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> tuple[ReliabilityBin, ...]:
    """Compute the confidence and the accuracy in the bins of `calibration_error`; see there for the arguments."""
    bins = _bins(confidence)
    members = [bins == index for index in np.unique(bins)]
    return tuple(ReliabilityBin(int(m.sum()), float(confidence[m].mean()), float(correct[m].mean())) for m in members)


def _bins(confidence: NDArray[np.float64]) -> NDArray[np.int64]:
    # A bin includes its upper bound, as in the paper.
    return np.ceil(confidence * CALIBRATION_BINS).astype(np.int64)


def wilson_interval(successes: int, count: int) -> tuple[float, float]:
    """Compute the 95 % interval of a share (Wilson 1927), which stays within 0..1 and is not empty for 0 or 1.

    Args:
        successes: Number of successes.
        count: Number of trials; without any the interval is (0, 1).
    """
    if not count:
        return 0.0, 1.0
    share, spread = successes / count, 1.96**2 / count
    centre = (share + spread / 2) / (1 + spread)
    half = 1.96 * (share * (1 - share) / count + spread / (4 * count)) ** 0.5 / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def bootstrap_interval(values: NDArray[np.float64], *, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Compute the 95 % percentile interval of a mean (Efron 1979).

    Args:
        values: (N,) one value per face.
        draws: Number of resamples with replacement.
        seed: Seed of the resampling.

    Returns:
        Lower and upper bound.
    """
    random = np.random.default_rng(seed)
    means = [values[random.integers(0, len(values), len(values))].mean() for _ in range(draws)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _class_score(confusion: NDArray[np.int64], index: int) -> ClassScore:
    count, predicted, correct = (
        int(confusion[index].sum()),
        int(confusion[:, index].sum()),
        int(confusion[index, index]),
    )
    precision, recall = correct / predicted if predicted else 0.0, correct / count if count else 0.0
    f1 = 2 * precision * recall / (precision + recall) if correct else 0.0
    return ClassScore(count, precision, recall, f1, wilson_interval(correct, count))
