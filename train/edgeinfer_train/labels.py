"""The labels of a face: our names, what published sets call them, and the rules that make labels out of votes."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

LabelMode = Literal["argmax", "majority", "votes"]
LABEL_MODES: tuple[LabelMode, ...] = get_args(LabelMode)

VOTE_COLUMNS = (
    "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF",
)  # fmt: skip
"""The ten columns of FERPlus (Barsoum et al. 2016, arXiv:1608.01041); the first eight are our labels."""

EIGHT_LABELS = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt")

SYNONYMS: dict[str, tuple[str, ...]] = {
    "neutral": ("neutral",),
    "happy": ("happy", "happiness"),
    "surprise": ("surprise", "surprised"),
    "sad": ("sad", "sadness"),
    "angry": ("angry", "anger"),
    "disgust": ("disgust", "disgusted"),
    "fear": ("fear", "fearful"),
    "contempt": ("contempt", "contemptuous"),
}
"""What the names of class folders mean, in lower case."""


def label_of(name: str) -> str | None:
    """Our label for the name of a class, in any case; None when the name is unknown."""
    wanted = name.strip().lower()
    return next((label for label, names in SYNONYMS.items() if wanted in names), None)


def vote_distribution(votes: NDArray[np.float32], fallback: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn counts of votes into soft labels.

    Single votes are taken as slips and zeroed where anything else is left (Barsoum et al. 2016).

    Args:
        votes: (N, K) counts.
        fallback: (N, K) rows for faces without any vote.

    Returns:
        (N, K) float32, every row sums to 1.
    """
    trusted = np.where(votes > 1, votes, 0)
    kept = np.where(trusted.sum(1, keepdims=True) > 0, trusted, votes)
    total = kept.sum(1, keepdims=True)
    return np.where(total > 0, kept / np.maximum(total, 1), fallback).astype(np.float32)


def has_majority(votes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell which faces most voters agree on, by the rule of Microsoft's FERPlus code.

    Single votes are zeroed; the winner then needs more than half of what is left.

    Args:
        votes: (N, 10) counts over all of `VOTE_COLUMNS`.

    Returns:
        (N,) bool. Where it is true, the winner is the column with most votes.
    """
    trusted = np.where(votes > 1, votes, 0)
    return np.asarray(trusted.max(1) > trusted.sum(1) / 2)
