"""FER2013 in its three published forms: Kaggle's folders, fer2013.csv and icml_face_data.csv."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from edgeinfer.results import Image
from edgeinfer_train.datasets.layout import SPLITS, Split
from edgeinfer_train.datasets.prepare.folders import prepare_tree
from edgeinfer_train.datasets.prepare.pictures import Options
from edgeinfer_train.datasets.prepare.report import (
    PrepareReport,
    Progress,
    Reason,
    Skipped,
    nothing_usable,
)
from edgeinfer_train.datasets.prepare.scaling import encode_face
from edgeinfer_train.datasets.prepare.splitting import split_of, with_validation
from edgeinfer_train.datasets.prepare.table import read_rows
from edgeinfer_train.datasets.prepare.tree import FileTree, open_tree, shallowest
from edgeinfer_train.datasets.prepare.writing import DataWriter, check_classes, one_label_identity, open_writer
from edgeinfer_train.labels import EIGHT_LABELS, label_of

NAME = "FER2013"
TABLES = ("fer2013.csv", "icml_face_data.csv")
COLUMNS = ("emotion", "pixels", "Usage")
CODES = {0.0: "angry", 1.0: "disgust", 2.0: "fear", 3.0: "happy", 4.0: "sad", 5.0: "surprise", 6.0: "neutral"}
SIDE = 48
SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class _Row:
    """Label and split of a row, or the reason for skipping it."""

    usage: str
    label: str
    split: Split | None
    reason: Reason | None


def prepare_fer2013(
    source: Path,
    out: Path,
    *,
    classes: Literal[7, 8] = 7,
    seed: int = 0,
    size: int | None = None,
    progress: Progress | None = None,
) -> PrepareReport:
    """Prepare FER2013.

    If a source contains both a table and folders, the table is used. Its images are named by row, starting with
    fer0000000.png, as in FERPlus. Without a validation split (Kaggle's folders), a stratified 20 % of the training
    faces becomes the validation split. A second call with the same folder completes an interrupted one and rewrites
    nothing.

    Args:
        source: A .csv file, or a folder or .zip with fer2013.csv, icml_face_data.csv, or files such as
            `train/angry/x.jpg`, at any depth.
        out: Data folder to write.
        classes: Number of labels; 8 adds contempt, for which FER2013 has no faces.
        seed: Seed of the validation split.
        size: Side in pixels to which faces are scaled, or None to keep their size.
        progress: Callback with the arguments (rows or files done, total).

    Raises:
        DataError: The source is missing or has an unexpected layout, or training faces of fewer than two classes; or
            `out` contains a different data set.
        RunError: `out` cannot be written.
    """
    with open_tree(source) as tree:
        wanted = (source.name,) if source.suffix.lower() == ".csv" else TABLES
        table = next((path for name in wanted if (path := shallowest(tree.files, name))), None)
        if table is None:
            return prepare_tree(tree, source, out, Options(NAME, EIGHT_LABELS[:classes], seed, size=size), progress)
        labels = EIGHT_LABELS[:classes]
        rows, split_rule = _assign_splits(list(_read_outline(tree, table)), seed)
        if all(row.split is None for row in rows):
            raise nothing_usable(_skipped(rows))
        check_classes([row.label for row in rows if row.split == "train"], source)
        faces = (f"{row.split}/{row.label}" for row in rows)
        identity = one_label_identity(NAME, labels, [f"{tree.files[table]} bytes", *faces])
        with open_writer(out, identity, "argmax", size) as writer:
            _write(tree, table, rows, writer, progress)
            present = {row.split for row in rows}
            return writer.finish([split for split in SPLITS if split not in present], split_rule=split_rule)


def _read_outline(tree: FileTree, table: str) -> Iterator[_Row]:
    """Read the labels and splits of all rows first, because validation rows are at the end of a table."""
    for row in read_rows(tree, table, COLUMNS):
        code, _, usage = row.values
        split, label, reason = split_of(usage), _label(code), row.reason
        if reason is None:
            if not (code and usage):
                reason = "missing value"
            elif split is None:
                reason = "unknown split"
            elif not label:
                reason = "unknown code"
        yield _Row(usage[:SHOWN_CHARACTERS], label, None if reason else split, reason)


def _label(code: str) -> str:
    """Return the label of a code such as "3", "3.0" or "happy", or "" if it is unknown."""
    try:
        return CODES.get(float(code), "")
    except ValueError:
        return label_of(code) or ""


def _skipped(rows: Iterable[_Row]) -> Iterator[Skipped]:
    return (Skipped(row.usage, "", row.reason) for row in rows if row.reason)


def _assign_splits(rows: list[_Row], seed: int) -> tuple[list[_Row], str]:
    """Return the rows with a validation split, and a description of the split rule."""
    usable = [i for i, row in enumerate(rows) if row.split is not None]
    splits, rule = with_validation(
        [rows[i].split or "train" for i in usable], [rows[i].label for i in usable], seed=seed
    )
    planned = list(rows)
    for i, split in zip(usable, splits, strict=True):
        planned[i] = _Row(rows[i].usage, rows[i].label, split, None)
    return planned, rule


def _write(tree: FileTree, table: str, rows: list[_Row], writer: DataWriter, progress: Progress | None) -> None:
    for number, (row, read) in enumerate(zip(rows, read_rows(tree, table, COLUMNS), strict=True)):
        name = f"fer{number:07d}.png"
        pixels = row.reason or _pixels(read.values[1])
        if isinstance(pixels, str):
            writer.skipped.append(Skipped(row.split or row.usage, name, pixels))
        elif row.split is not None:
            writer.add(row.split, row.label, name, encode_face(pixels, name))
        if progress:
            progress(number + 1, len(rows))


def _pixels(text: str) -> Image | Reason:
    """Parse text with grey levels; return the image or the reason for skipping it."""
    values = text.split()
    if len(values) != SIDE * SIDE:
        return "wrong number of pixels" if values else "missing value"
    with contextlib.suppress(ValueError, OverflowError):
        return np.array([int(value.removesuffix(".0")) for value in values], dtype=np.uint8).reshape(SIDE, SIDE)
    return "unreadable image"
