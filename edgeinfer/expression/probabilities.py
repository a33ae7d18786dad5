"""Softmax and log-softmax in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the probabilities of logits.

    The maximum of each row is subtracted first, so that large logits do not overflow.

    Args:
        logits: (N, K) float; -inf gives a probability of 0. Each row needs at least one finite value.

    Returns:
        (N, K) float64, 0..1; each row sums to 1.
    """
    wide = np.asarray(logits, dtype=np.float64)
    powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def log_softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the natural logarithms of the probabilities of logits.

    Unlike `log(softmax(logits))`, the result stays finite for finite logits, however small the probability is.

    Args:
        logits: (N, K) float. Each row needs at least one finite value.

    Returns:
        (N, K) float64, at most 0.
    """
    wide = np.asarray(logits, dtype=np.float64)
    shifted = wide - wide.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
