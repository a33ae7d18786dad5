"""Labels: their names here and in published data sets, and the conversion of votes to labels."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

LabelMode = Literal["argmax", "majority", "votes"]
LABEL_MODES: tuple[LabelMode, ...] = get_args(LabelMode)

VOTE_COLUMNS = (
    "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF",
)  # fmt: skip
"""Vote columns of FERPlus (Barsoum et al. 2016, arXiv:1608.01041); the first eight correspond to `EIGHT_LABELS`."""

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
"""Names of class folders for each label, in lower case."""


def label_of(name: str) -> str | None:
    """Return the label for a class name, ignoring case, or None if the name is unknown."""
    wanted = name.strip().lower()
    return next((label for label, names in SYNONYMS.items() if wanted in names), None)


def vote_distribution(votes: NDArray[np.float32], fallback: NDArray[np.float32]) -> NDArray[np.float32]:
    """Convert vote counts to soft labels.

    Single votes are treated as errors and set to 0 if other votes remain (Barsoum et al. 2016).

    Args:
        votes: (N, K) vote counts.
        fallback: (N, K) rows for faces without votes.

    Returns:
        (N, K) float32; each row sums to 1.

    Example:
        >>> vote_distribution(np.array([[6, 2, 1]], np.float32), np.eye(3, dtype=np.float32)[:1]).tolist()
        [[0.75, 0.25, 0.0]]
    """
    trusted = np.where(votes > 1, votes, 0)
    kept = np.where(trusted.sum(1, keepdims=True) > 0, trusted, votes)
    total = kept.sum(1, keepdims=True)
    return np.where(total > 0, kept / np.maximum(total, 1), fallback).astype(np.float32)


def has_majority(votes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Determine which faces have a majority label, by the rule of Microsoft's FERPlus code.

    Single votes are set to 0; the winning column then needs more than half of the remaining votes.

    Args:
        votes: (N, 10) counts in the order of `VOTE_COLUMNS`.

    Returns:
        (N,) bool, True if the column with the most votes has a majority.
    """
    trusted = np.where(votes > 1, votes, 0)
    return np.asarray(trusted.max(1) > trusted.sum(1) / 2)
