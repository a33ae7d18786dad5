"""Linear heads on fixed embeddings, solved instead of trained: from labels, and from the head of other labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.expression.probabilities import log_softmax

STEPS, TOLERANCE = 500, 1e-4
TEMPERATURES = np.geomspace(0.4, 3.0, 15)
SHARES = (0.0, 0.3, 1.0)
"""Shares of the labels in the targets of a head, the safest for few faces first; the rest are predictions."""
PREDICTION_DECAY, LABEL_DECAY = 5.0, 300.0
"""Penalty for targets that are predictions, and addition for those that are labels, in points."""
POINTS, BEYOND, FOLDS = (600, 6000), 0.5, 5
"""Range of the number of points, their largest distance beyond a face, and the number of folds of `transfer_head`."""
SHARPENING = 0.5
"""Temperature of the old predictions in `relate_labels`: networks trained on votes are under-confident, and a doubtful
prediction counts as evidence for a wrong relation."""
SWEEPS, FLOOR = 20, 1e-3
Head = list[NDArray[np.float32]]
"""Kernel (F, K) and bias (K,)."""


def solve_head(embeddings: NDArray[np.float64], targets: NDArray[np.float32], *, decay: float) -> Head:
    """Solve a multinomial logistic regression by accelerated gradient descent (Nesterov 1983).

    Args:
        embeddings: (N, F) vectors.
        targets: (N, K) label distributions; each row sums to 1.
        decay: Strength of the squared penalty on the weights of standardized embeddings, in rows of `embeddings`.

    Returns:
        Kernel (F, K) and bias (K,) of a dense layer for the unscaled embeddings.

    Examples:
        >>> kernel, bias = solve_head(np.array([[-1.0], [1.0]]), np.eye(2, dtype=np.float32), decay=0.1)
        >>> bool(kernel[0, 1] > kernel[0, 0])
        True
    """
    mean, deviation = embeddings.mean(axis=0), embeddings.std(axis=0)
    scale = np.where(deviation > 1e-6 * (1 + np.abs(mean)), 1 / np.maximum(deviation, 1e-12), 0.0)
    inputs = np.concatenate([(embeddings - mean) * scale, np.ones((len(embeddings), 1))], axis=1)
    penalty = np.full((inputs.shape[1], 1), decay / len(inputs))
    penalty[-1] = 0  # the bias follows the label shares
    # Half of the largest eigenvalue of the covariance bounds the curvature (Boehning 1992).
    step = 1 / (0.5 * np.linalg.norm(inputs, 2) ** 2 / len(inputs) + float(penalty.max()))
    weights: NDArray[Any] = np.zeros((inputs.shape[1], targets.shape[1]))
    ahead, momentum = weights, 1.0
    for _ in range(STEPS):
        residual = np.exp(log_softmax(inputs @ ahead)) - targets
        gradient = inputs.T @ residual / len(inputs) + penalty * ahead
        if float(np.abs(gradient).max()) < TOLERANCE:
            break
        following, faster = ahead - step * gradient, (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = following + (momentum - 1) / faster * (following - weights)
        weights, momentum = following, faster
    kernel = weights[:-1] * scale[:, None]
    return [kernel.astype(np.float32), (weights[-1] - mean @ kernel).astype(np.float32)]


def relate_labels(probabilities: NDArray[np.float64], targets: NDArray[np.float32]) -> NDArray[np.float64]:
    """Estimate the new label that each old label belongs to.

    The likelihood of a relation is that of the targets if each new label has the sum of the probabilities of its old
    labels. The mean-field approximation to the posterior is updated by one old label at a time (Bishop 2006, "Pattern
    Recognition and Machine Learning", section 10.1), with the mean inside the logarithm.

    Args:
        probabilities: (N, L) probabilities of the old labels.
        targets: (N, K) distributions of the new labels.

    Returns:
        (L, K) probability that each old label belongs to each new label.

    Examples:
        >>> relate_labels(np.eye(3)[[0, 1, 2] * 9], np.eye(2, dtype=np.float32)[[0, 1, 1] * 9]).round(2).tolist()
        [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    """
    relation = np.full((probabilities.shape[1], targets.shape[1]), 1 / targets.shape[1])
    for _ in range(SWEEPS):
        before = relation.copy()
        for old in np.argsort(-probabilities.sum(axis=0)):
            share = probabilities[:, [old]]
            others = probabilities @ relation - share * relation[old]
            # Only the new label to which the old one belongs gains probability.
            gain = targets * (np.log(others + share + FLOOR) - np.log(others + FLOOR))
            relation[old] = np.exp(log_softmax(gain.sum(axis=0)[None]))[0]
        if np.abs(relation - before).max() < 1e-3:
            break
    return relation


def transfer_head(
    embeddings: NDArray[np.float64], targets: NDArray[np.float32], old: Sequence[NDArray[Any]]
) -> tuple[Head, float]:
    """Solve a head for new labels from few faces and from a head for other labels.

    The targets are mixtures of labels and predictions of the old head, whose labels are related to the new ones. They
    are not given for the faces, but for points on straight lines through two of them (Zhang et al. 2018,
    arXiv:1710.09412): predictions are known everywhere, and more points determine the head better. Cross-validation
    chooses the smallest share of the labels that is not clearly worse than another one. It is high if the new labels
    are unrelated to the old ones, or the faces many.

    Args:
        embeddings: (M, N, F) vectors of M views of N faces. Similar faces are next to each other.
        targets: (N, K) label distributions of the faces.
        old: Kernel (F, L) and bias (L,) of the old head.

    Returns:
        The head, and the share of the labels in its targets, 0..1.
    """
    folds, views = _fold_ids(targets.argmax(axis=1)), len(embeddings)
    logits = np.zeros((len(SHARES), views * len(targets), targets.shape[1]))
    for fold in np.unique(folds):
        held = folds == fold
        for index, (kernel, bias) in enumerate(_solve_heads(embeddings[:, ~held], targets[~held], old, SHARES)):
            logits[index, np.tile(held, views)] = (embeddings[:, held] @ kernel + bias).reshape(-1, len(bias))
    losses = [calibrated_losses(each, np.tile(targets, (views, 1))).reshape(views, -1).mean(axis=0) for each in logits]
    best = SHARES[_simplest(np.stack(losses))]
    return _solve_heads(embeddings, targets, old, (best,))[0], best


def calibrated_losses(logits: NDArray[np.floating[Any]], targets: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the cross-entropy of each face in nats, at the temperature with the lowest mean.

    Args:
        logits: (N, K).
        targets: (N, K) label distributions.
    """
    losses = [-(targets * log_softmax(logits / temperature)).sum(axis=1) for temperature in TEMPERATURES]
    return np.asarray(min(losses, key=lambda each: float(each.mean())))


def _simplest(losses: NDArray[np.float64]) -> int:
    """Return the first row of (S, N) losses whose mean is within a standard error of the best one.

    This is the one-standard-error rule (Breiman et al. 1984, "Classification and Regression Trees", section 3.4.3).
    """
    excess = losses - losses[losses.mean(axis=1).argmin()]
    errors = excess.std(axis=1) / np.sqrt(losses.shape[1])
    return int((excess.mean(axis=1) <= errors).argmax())


def _solve_heads(
    embeddings: NDArray[np.float64],
    targets: NDArray[np.float32],
    old: Sequence[NDArray[Any]],
    shares: Sequence[float],
) -> list[Head]:
    """Solve one head per share of the labels; see `transfer_head`."""
    views, labels = _stacked(embeddings, targets)
    relation = relate_labels(_probabilities(views, old, SHARPENING), labels)
    random, count = np.random.default_rng(0), min(max(POINTS[0], len(views)), POINTS[1])
    one, other = random.integers(0, len(views), (2, count))
    position = random.uniform(-BEYOND, 1 + BEYOND, (count, 1))
    points = views[one] + position * (views[other] - views[one])
    position = position.clip(0, 1)
    mixed = labels[one] + position * (labels[other] - labels[one])
    predicted = _probabilities(points, old) @ relation
    return [
        solve_head(
            points,
            (share * mixed + (1 - share) * predicted).astype(np.float32),
            decay=PREDICTION_DECAY + share * LABEL_DECAY,
        )
        for share in shares
    ]


def _stacked(
    embeddings: NDArray[np.float64], targets: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return (M, N, F) embeddings as (M * N, F), with the targets of each."""
    return embeddings.reshape(-1, embeddings.shape[-1]), np.tile(targets, (len(embeddings), 1))


def _probabilities(
    embeddings: NDArray[np.float64], head: Sequence[NDArray[Any]], temperature: float = 1.0
) -> NDArray[np.float64]:
    kernel, bias = head
    return np.asarray(np.exp(log_softmax((embeddings @ kernel + bias) / temperature)))


def _fold_ids(classes: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Return a fold for each face; consecutive faces of a class, which may show one person, share a fold."""
    folds = np.zeros(len(classes), np.int64)
    for first, label in enumerate(np.unique(classes)):  # single faces of different classes are in different folds
        members = np.flatnonzero(classes == label)
        folds[members] = (first + np.arange(len(members)) * FOLDS // len(members)) % FOLDS
    return folds
