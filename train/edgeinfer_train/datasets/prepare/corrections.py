"""Corrections of labels, saved by the page of `edgeinfer-train label`."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from edgeinfer.errors import path_text, shown_path
from edgeinfer_train.datasets.prepare.pictures import Picture
from edgeinfer_train.datasets.prepare.report import Reason, Skipped
from edgeinfer_train.errors import DataError
from edgeinfer_train.labels import class_label

COLUMNS = ("file", "label")
UNLABELLED = "unlabelled"
"""Class folder of crops without a label; `prepare` skips what is left in it."""
MAX_CORRECTIONS_BYTES = 100_000_000


def read_corrections(path: Path) -> dict[str, str]:
    """Return the corrected label of each file, "" for a face to remove.

    Files are identified by their names, which are unique in a folder written by `edgeinfer-train label`.

    Raises:
        DataError: The file is not a table with the columns `file,label`, or names a face twice with different labels.
    """
    try:
        if path.stat().st_size > MAX_CORRECTIONS_BYTES:
            raise DataError(f"{shown_path(path)} is too large for a table of corrections")
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read the corrections {shown_path(path)}: {error}") from error
    labels: dict[str, str] = {}
    for number, row in enumerate(rows, start=2):
        if any(row.get(column) is None for column in COLUMNS):
            raise DataError(f"{shown_path(path)} line {number} lacks a value: expected the columns file,label")
        name, label = row["file"].rpartition("/")[2], class_label(row["label"]) if row["label"].strip() else ""
        if labels.setdefault(name, label) != label:
            raise DataError(f"{shown_path(path)} has two labels for {shown_path(name)}: keep one of them")
    return labels


def apply_corrections(
    pictures: Sequence[Picture], labels: Mapping[str, str], path: Path | None
) -> tuple[list[Picture], list[Skipped]]:
    """Replace the labels of corrected pictures, and remove those with an empty label and the unlabelled ones.

    Args:
        pictures: Pictures of the source.
        labels: Corrected label by file name; "" removes the picture.
        path: Table of corrections, for the error message.

    Returns:
        The remaining pictures, and the removed ones.

    Raises:
        DataError: The table names files that the source does not contain.
    """
    names = {path_text(picture.name) for picture in pictures}
    unknown = [name for name in labels if name not in names]
    if unknown:
        raise DataError(
            f"{shown_path(path or '')} names {len(unknown):,} files that the source does not contain, such as "
            f"{shown_path(unknown[0])}: pass the folder for which the page was written"
        )
    kept, removed = [], []
    for picture in pictures:
        label = labels.get(path_text(picture.name), picture.label)
        if not label or label == UNLABELLED:
            reason: Reason = "no label" if label else "removed by correction"
            removed.append(Skipped(picture.split or "", picture.path, reason))
        else:
            kept.append(replace(picture, label=label))
    return kept, removed
