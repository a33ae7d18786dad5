"""Labels: their names here and in published data sets, and the conversion of votes to labels."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edgeinfer.errors import path_text
from edgeinfer.model.metadata import MAX_LABEL_LENGTH, MAX_LABELS, are_labels, is_label
from edgeinfer.sources.order import natural_key
from edgeinfer_train.errors import ConfigError

LabelMode = Literal["argmax", "majority", "votes"]
LABEL_MODES: tuple[LabelMode, ...] = get_args(LabelMode)

MAX_BYTES = 200
"""Largest length of the name of a class folder in bytes; file systems allow 255."""
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


def class_label(name: str) -> str:
    """Return the label for any class name: the standard label of a synonym, otherwise the name itself.

    >>> class_label("Happiness"), class_label(" very tired ")
    ('happy', 'very tired')
    """
    return label_of(name) or unicodedata.normalize("NFC", path_text(name).strip())


def canonical_label(name: str) -> str:
    """Return the name by which labels of different data sets are compared: the class label in folded case."""
    return class_label(name).casefold()


def check_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """Validate labels, which are names in a model file and of class folders.

    Raises:
        ConfigError: There are fewer than two labels, two differ in case, width or spaces only, or one cannot be in a
            model file or the name of a folder.
    """
    for label in labels:
        if not is_label(label) or label.startswith(".") or len(label.encode()) > MAX_BYTES:
            raise ConfigError(
                f"invalid label {label[:MAX_LABEL_LENGTH]!r}: expected a printable name of at most {MAX_LABEL_LENGTH} "
                f"characters and {MAX_BYTES} bytes, without slashes and a leading dot"
            )
    if not are_labels(labels):
        raise ConfigError(
            f"invalid labels {', '.join(labels[:10]) or 'none'}: expected 2 to {MAX_LABELS} names that differ in more "
            "than case and spaces"
        )
    return tuple(labels)


def order_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Return different labels in order: the standard ones first, then the others in natural order."""
    found = set(labels)
    others = sorted(found.difference(EIGHT_LABELS), key=natural_key)
    return (*(label for label in EIGHT_LABELS if label in found), *others)


def vote_distribution(
    votes: NDArray[np.float32], fallback: NDArray[np.float32], *, ignores_single: bool = True
) -> NDArray[np.float32]:
    """Convert vote counts to soft labels.

    Args:
        votes: (N, K) vote counts.
        fallback: (N, K) rows for faces without votes.
        ignores_single: True to treat single votes as errors and set them to 0 if other votes remain, the rule of
            FERPlus (Barsoum et al. 2016).

    Returns:
        (N, K) float32; each row sums to 1.

    Examples:
        >>> vote_distribution(np.array([[6, 2, 1]], np.float32), np.eye(3, dtype=np.float32)[:1]).tolist()
        [[0.75, 0.25, 0.0]]
    """
    kept = without_single_votes(votes) if ignores_single else votes
    total = kept.sum(1, keepdims=True)
    return np.where(total > 0, kept / np.where(total > 0, total, 1), fallback).astype(np.float32)


def without_single_votes(votes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Set single votes to 0 in each of (N, K) rows, unless it has no other votes; see `vote_distribution`."""
    trusted = np.where(votes > 1, votes, 0)
    return np.where(trusted.sum(1, keepdims=True) > 0, trusted, votes)


def has_majority(votes: NDArray[np.float32], *, ignores_single: bool = True) -> NDArray[np.bool_]:
    """Determine which faces have a majority label, by the rule of Microsoft's FERPlus code.

    The winning column needs more than half of the votes.

    Args:
        votes: (N, M) counts in all columns, for FERPlus in the order of `VOTE_COLUMNS`.
        ignores_single: True to set single votes to 0 first, the rule of FERPlus.

    Returns:
        (N,) bool, True if the column with the most votes has a majority.
    """
    trusted = np.where(votes > 1, votes, 0) if ignores_single else votes
    return np.asarray(trusted.max(1) > trusted.sum(1) / 2)


def split_labels(items: Iterable[str]) -> tuple[str, ...]:
    """Return labels from option values, each of which may contain several, separated by commas."""
    return tuple(class_label(name) for item in items for name in item.split(","))
