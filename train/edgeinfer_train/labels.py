"""Labels: their names here and in published data sets."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

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


def split_labels(items: Iterable[str]) -> tuple[str, ...]:
    """Return the labels of option values; see `split_names`."""
    return tuple(class_label(name) for name in split_names(items))


def split_names(items: Iterable[str]) -> tuple[str, ...]:
    """Return the names of option values, each of which may contain several, separated by commas.

    A name that contains a comma is in double quotes, as in CSV.

    Raises:
        ConfigError: A quotation mark is not closed.

    >>> split_names(['happy, "tired, bored"', "sad"])
    ('happy', 'tired, bored', 'sad')
    """
    return tuple(name.strip() for item in items for name in _row(item))


def _row(text: str) -> list[str]:
    try:
        return next(csv.reader([text], skipinitialspace=True, strict=True)) or [""]
    except csv.Error as error:
        raise ConfigError(
            f"invalid labels {text!r}: expected names separated by commas, with double quotes around a name that "
            "contains one"
        ) from error
