"""RAF-DB (basic expressions) in its two published forms: the archive of the authors, and Kaggle's folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

from edgeinfer.errors import shown_path
from edgeinfer_train.datasets.layout import Split
from edgeinfer_train.datasets.load import IMAGE_SUFFIXES
from edgeinfer_train.datasets.prepare.listed import ListedFace, Listing, prepare_listed
from edgeinfer_train.datasets.prepare.report import PrepareReport, Progress, Skipped
from edgeinfer_train.datasets.prepare.splitting import split_of
from edgeinfer_train.datasets.prepare.table import read_lines
from edgeinfer_train.datasets.prepare.tree import FileTree, is_visible, open_tree, shallowest
from edgeinfer_train.errors import DataError
from edgeinfer_train.labels import EIGHT_LABELS

NAME = "RAF-DB"
TABLES = ("list_patition_label.txt", "list_partition_label.txt")
"""Name of the table, with the spelling of the authors first."""
CODES = {"1": "surprise", "2": "fear", "3": "disgust", "4": "happy", "5": "sad", "6": "angry", "7": "neutral"}


def prepare_rafdb(
    source: Path,
    out: Path,
    *,
    classes: Literal[7, 8] = 7,
    seed: int = 0,
    size: int | None = None,
    progress: Progress | None = None,
) -> PrepareReport:
    """Prepare the aligned faces of RAF-DB's seven basic expressions.

    RAF-DB has a training and a test split; 20 % of the training faces becomes the validation split. A second call with
    the same folder completes an interrupted one and rewrites nothing.

    Args:
        source: Folder or .zip, at any depth, with `EmoLabel/list_patition_label.txt` and
            `Image/aligned/train_00001_aligned.jpg`, or with `train/1/train_00001_aligned.jpg` to `test/7/…` (Kaggle).
        out: Data folder to write.
        classes: Number of labels; 8 adds contempt, for which RAF-DB has no faces.
        seed: Seed of the validation split.
        size: Side in pixels to which faces are scaled, or None to keep their size.
        progress: Callback with the arguments (faces done, total faces).

    Raises:
        DataError: The source is missing or lacks a published file; or `out` contains a different data set.
        RunError: `out` cannot be written.
    """
    with open_tree(source) as tree:
        table = next((path for name in TABLES if (path := shallowest(tree.files, name))), None)
        faces, skipped = _by_folder(tree, source) if table is None else _by_table(tree, table, source)
        listing = Listing(NAME, EIGHT_LABELS[:classes], faces, skipped, seed, size=size)
        return prepare_listed(tree, source, out, listing, progress)


def _by_table(tree: FileTree, table: str, source: Path) -> tuple[list[ListedFace], list[Skipped]]:
    images = {PurePosixPath(path).name: path for path in tree.files if "/aligned/" in f"/{path}"}
    if not images:
        raise DataError(
            f"{shown_path(source)} has no images in a folder aligned/: extract Image/aligned.zip of RAF-DB's archive "
            "beside the table (Image/original has whole photographs and cannot be used)"
        )
    found, skipped, seen = [], [], set[str]()
    for name, code in _rows(tree, table):
        stem = PurePosixPath(name).stem
        split = split_of(stem.partition("_")[0])
        path = next((images[n] for suffix in (".jpg", ".png") if (n := f"{stem}_aligned{suffix}") in images), None)
        if code not in CODES:
            skipped.append(Skipped(split or "", name, "unknown code" if name else "unreadable row"))
        elif split is None:
            skipped.append(Skipped("", name, "unknown split"))
        elif name in seen:
            skipped.append(Skipped(split, name, "duplicate name"))
        elif path is None:
            skipped.append(Skipped(split, name, "missing image"))
        else:
            found.append(ListedFace(path, CODES[code], split))
        seen.add(name)
    return found, skipped


def _rows(tree: FileTree, table: str) -> Iterator[tuple[str, str]]:
    """Yield name and code of each line; both are "" if the line has other fields."""
    for line in read_lines(tree, table):
        fields = (line or "").split()
        yield (fields[0], fields[1]) if len(fields) == 2 else ("", "")


def _by_folder(tree: FileTree, source: Path) -> tuple[list[ListedFace], list[Skipped]]:
    found, skipped = [], []
    for path in filter(is_visible, tree.files):
        *_, above, folder, name = ("", "", *PurePosixPath(path).parts)
        split: Split | None = split_of(above)
        if folder in CODES and split and PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES:
            found.append(ListedFace(path, CODES[folder], split))
        elif PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES:
            skipped.append(Skipped(split or "", path, "no class"))
    if not found:
        raise DataError(
            f"{shown_path(source)} has neither {TABLES[0]} (in EmoLabel/ of RAF-DB's archive) nor folders train/1 to "
            "test/7: pass the folder that contains them"
        )
    return sorted(found, key=lambda face: face.path), skipped
