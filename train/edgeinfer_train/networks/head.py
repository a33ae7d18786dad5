"""Linear head on fixed embeddings, solved instead of trained."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.expression.probabilities import log_softmax

DECAY = 50.0
"""Strength of the squared penalty on the weights of standardized embeddings, in faces."""
STEPS, TOLERANCE = 500, 1e-4


def solve_head(
    embeddings: NDArray[np.float64], targets: NDArray[np.float32], *, decay: float = DECAY
) -> list[NDArray[np.float32]]:
    """Solve a multinomial logistic regression by accelerated gradient descent (Nesterov 1983).

    Args:
        embeddings: (N, F) vectors.
        targets: (N, K) label distributions; each row sums to 1.
        decay: Strength of the squared penalty on the weights, in faces.

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
