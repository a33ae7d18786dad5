"""FER2013 in its three published forms: Kaggle's folders, fer2013.csv and icml_face_data.csv."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from edgeinfer.results import Image
from edgeinfer_train.datasets.load import SPLITS, Split
from edgeinfer_train.datasets.prepare.folders import prepare_tree
from edgeinfer_train.datasets.prepare.splitting import with_validation
from edgeinfer_train.datasets.prepare.tree import DAMAGED, FileTree, open_tree, shallowest
from edgeinfer_train.datasets.prepare.writing import (
    DataWriter,
    PrepareReport,
    Progress,
    Reason,
    Skipped,
    check_classes,
    one_label_identity,
    open_writer,
)
from edgeinfer_train.errors import DataError
from edgeinfer_train.labels import EIGHT_LABELS

if TYPE_CHECKING:
    import pandas as pd


NAME = "FER2013"
TABLES = ("fer2013.csv", "icml_face_data.csv")
COLUMNS = ("emotion", "pixels", "Usage")
CODES = {"0": "angry", "1": "disgust", "2": "fear", "3": "happy", "4": "sad", "5": "surprise", "6": "neutral"}
USAGES: dict[str, Split] = {"Training": "train", "PublicTest": "valid", "PrivateTest": "test"}
SIDE = 48
CHUNK_ROWS = 1000


@dataclass(frozen=True, slots=True)
class _Row:
    """Label and split of a row, or the reason for skipping it."""

    usage: str
    label: str
    split: Split | None
    reason: Reason | None


def prepare_fer2013(
    source: Path, out: Path, *, classes: Literal[7, 8] = 7, seed: int = 0, progress: Progress | None = None
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
        progress: Called with (rows or files done, total).

    Raises:
        DataError: The source is missing or has an unexpected layout, or training faces of fewer than two classes; or
            `out` contains a different data set.
        RunError: `out` cannot be written.
    """
    with open_tree(source) as tree:
        files = tree.files()
        wanted = (source.name,) if source.suffix.lower() == ".csv" else TABLES
        table = next((path for name in wanted if (path := shallowest(files, name))), None)
        if table is None:
            return prepare_tree(tree, source, out, name=NAME, classes=classes, seed=seed, progress=progress)
        labels = EIGHT_LABELS[:classes]
        rows, split_rule = _assign_splits(list(_read_outline(tree, table)), seed)
        check_classes([row.label for row in rows if row.split == "train"], source)
        faces = (f"{row.split}/{row.label}" for row in rows)
        identity = one_label_identity(NAME, labels, [f"{files[table]} bytes", *faces])
        with open_writer(out, identity, "argmax") as writer:
            _write(tree, table, rows, writer, progress)
            present = {row.split for row in rows}
            return writer.finish([split for split in SPLITS if split not in present], split_rule=split_rule)


def _read_outline(tree: FileTree, table: str) -> Iterator[_Row]:
    """Read the two short columns first, because validation rows are at the end of a table."""
    for chunk in _chunks(tree, table, ("emotion", "Usage")):
        for code, usage in zip(chunk["emotion"], chunk["Usage"], strict=True):
            split, label = USAGES.get(usage), CODES.get(code, "")
            reason: Reason | None = None
            if not (code and usage):
                reason = "missing value"
            elif split is None:
                reason = "unknown split"
            elif not label:
                reason = "unknown code"
            yield _Row(usage, label, None if reason else split, reason)


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
    number = 0
    for chunk in _chunks(tree, table, COLUMNS):
        for text in chunk["pixels"]:
            row, name = rows[number], f"fer{number:07d}.png"
            pixels = row.reason or _pixels(text)
            if isinstance(pixels, str):
                writer.skipped.append(Skipped(row.split or row.usage, name, pixels))
            elif row.split is not None:
                writer.add(row.split, row.label, name, cv2.imencode(".png", pixels)[1].tobytes(), pixels)
            number += 1
            if progress:
                progress(number, len(rows))


def _pixels(text: str) -> Image | Reason:
    """Parse a text of grey levels; return the image or the reason for skipping it."""
    values = text.split()
    if len(values) != SIDE * SIDE:
        return "wrong number of pixels" if values else "missing value"
    with contextlib.suppress(ValueError, OverflowError):
        return np.array([int(value) for value in values], dtype=np.uint8).reshape(SIDE, SIDE)
    return "unreadable image"


def _chunks(tree: FileTree, table: str, columns: tuple[str, ...]) -> Iterator[pd.DataFrame]:
    """Read columns as text, in chunks of rows. Column names may be surrounded by spaces.

    Raises:
        DataError: The file is not a table with these columns.
    """
    import pandas as pd  # noqa: PLC0415 - slow import, not needed for the help text

    try:
        with tree.open(table) as file:
            parts = pd.read_csv(
                file, dtype=str, keep_default_na=False, skipinitialspace=True, chunksize=CHUNK_ROWS,
                usecols=lambda name: name.strip() in columns,
            )  # fmt: skip
            with parts:
                for part in parts:
                    part.columns = part.columns.str.strip()
                    missing = [column for column in columns if column not in part.columns]
                    if missing:
                        raise DataError(
                            f"{table} lacks the columns {', '.join(missing)}; expected {', '.join(COLUMNS)}"
                        )
                    yield part.fillna("").map(str.strip)
    except DataError:
        raise
    except (ValueError, OSError, *DAMAGED) as error:
        raise DataError(f"{table} is not a readable CSV file: {error}") from error
