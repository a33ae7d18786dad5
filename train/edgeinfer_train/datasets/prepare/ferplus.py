"""FERPlus as published: three folders of images and a table of ten votes per face."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from edgeinfer.errors import shown_path
from edgeinfer_train.datasets.layout import SPLITS, VOTES_FILE, Split
from edgeinfer_train.datasets.options import NeutralRule
from edgeinfer_train.datasets.prepare.files import write_csv
from edgeinfer_train.datasets.prepare.report import PrepareReport, Progress, Reason, Skipped
from edgeinfer_train.datasets.prepare.splitting import split_of
from edgeinfer_train.datasets.prepare.table import TableRow, read_rows
from edgeinfer_train.datasets.prepare.tree import MAX_NAME_BYTES, FileTree, load_face, open_tree, shallowest
from edgeinfer_train.datasets.prepare.writing import DataWriter, Identity, open_writer
from edgeinfer_train.errors import DataError
from edgeinfer_train.labels import EIGHT_LABELS, VOTE_COLUMNS, LabelMode

FOLDERS: dict[Split, str] = {"train": "FER2013Train", "valid": "FER2013Valid", "test": "FER2013Test"}
COLUMNS = ("Usage", "Image name", *VOTE_COLUMNS)
MAX_VOTES = 1e6
SHOWN_CHARACTERS = 40
CSV_NAME = "fer2013new.csv"
NOT_A_LABEL: dict[str, Reason] = {"unknown": "unknown", "NF": "not a face", "contempt": "contempt"}


@dataclass(frozen=True, slots=True)
class _Layout:
    """Folders by split, paths of all files, and the label rules."""

    folders: dict[Split, str | None]
    names: frozenset[str]
    labels: tuple[str, ...]
    neutral_rule: NeutralRule


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of the table; a vote that is not a number is NaN."""

    usage: str
    name: str
    votes: tuple[float, ...]
    reason: Reason | None


def prepare_ferplus(
    source: Path,
    out: Path,
    *,
    classes: Literal[7, 8] = 7,
    label_mode: LabelMode = "votes",
    neutral_rule: NeutralRule = "plurality",
    size: int | None = None,
    progress: Progress | None = None,
) -> PrepareReport:
    """Prepare FERPlus, with its ten votes per face in a separate file.

    The label is the column with the most votes, the first one on a tie. Rows in which "unknown", "NF" or, with seven
    labels, contempt wins are skipped. The votes are read from fer2013new.csv only. A second call with the same folder
    completes an interrupted one and rewrites nothing.

    Args:
        source: Folder or .zip with FER2013Train/, FER2013Valid/, FER2013Test/ and fer2013new.csv, at any depth.
        out: Data folder to write.
        classes: Number of labels; 8 includes contempt.
        label_mode: Default label mode of `load_split`; it does not affect the class folders.
        neutral_rule: "others" assigns a face that neutral wins to the strongest other emotion with a vote, if any.
        size: Side in pixels to which faces are scaled, or None to keep their size.
        progress: Callback with the arguments (rows done, total rows).

    Raises:
        DataError: The source is missing or has an unexpected layout, or `out` contains a different data set.
        RunError: `out` cannot be written.
    """
    with open_tree(source) as tree:
        names = frozenset(tree.files)
        table = shallowest(names, CSV_NAME)
        if table is None:
            raise DataError(
                f"{shown_path(source)} has no {CSV_NAME}: expected FERPlus as published, image folders and that file"
            )
        count, digest = sum(1 for _ in read_rows(tree, table, COLUMNS)), _digest(tree, table)
        folders = {split: _image_folder(names, folder) for split, folder in FOLDERS.items()}
        if all(folder is None for folder in folders.values()):
            raise DataError(f"{shown_path(source)} has none of the folders {', '.join(FOLDERS.values())}")
        rule = "argmax over ten votes" + (", neutral yields to others" if neutral_rule == "others" else "")
        identity = Identity("FERPlus", EIGHT_LABELS[:classes], rule, "votes_sha256", digest)
        layout = _Layout(folders, names, identity.labels, neutral_rule)
        with open_writer(out, identity, label_mode, size) as writer:
            writer.skipped += tree.skipped
            rows = map(_parse, read_rows(tree, table, COLUMNS))
            votes = _write(tree, rows, layout, writer, progress and (lambda done: progress(done, count)))
            if not writer.is_empty:
                write_csv(out / VOTES_FILE, ["file", *VOTE_COLUMNS], votes)
            return writer.finish([split for split in SPLITS if folders[split] is None])


def _digest(tree: FileTree, table: str) -> str:
    """Return the SHA-256 digest of a table that was already read without an error."""
    digest = hashlib.sha256()
    with tree.open(table) as file:
        while part := file.read(1 << 16):
            digest.update(part)
    return digest.hexdigest()


def _write(
    tree: FileTree,
    rows: Iterable[_Row],
    layout: _Layout,
    writer: DataWriter,
    progress: Callable[[int], None] | None,
) -> list[list[Any]]:
    """Copy the images of all rows; return their paths relative to the data folder, with their votes."""
    votes: list[list[Any]] = []
    seen: set[str] = set()
    for done, row in enumerate(rows, start=1):
        split = split_of(row.usage)
        path = f"{layout.folders[split]}/{row.name}" if split else ""
        reason, label = _reason_to_skip(row, split, path, seen, layout), ""
        if reason is None:
            reason, label = _label(row, layout)
        face = reason or load_face(tree, path)
        if isinstance(face, str):
            writer.skipped.append(Skipped(split or row.usage, row.name, face))
        elif split is not None:
            file = writer.add(split, label, row.name, face)
            votes.append([file, *map(int, row.votes)])
        if progress:
            progress(done)
    return votes


def _image_folder(names: Iterable[str], wanted: str) -> str | None:
    wanted = wanted.lower()
    parents = {parent for n in names for parent in PurePosixPath(n).parents if parent.name.lower() == wanted}
    return min((str(p) for p in parents), key=lambda p: (p.count("/"), p), default=None)


def _parse(row: TableRow) -> _Row:
    usage, name, *votes = row.values
    return _Row(usage[:SHOWN_CHARACTERS], name[: MAX_NAME_BYTES + 1], tuple(map(_number, votes)), row.reason)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _reason_to_skip(row: _Row, split: Split | None, path: str, seen: set[str], layout: _Layout) -> Reason | None:
    if row.reason is not None:
        return row.reason
    if not row.name:
        return "no name"
    if split is None:
        return "unknown split"
    if row.name in seen:
        return "duplicate name"
    seen.add(row.name)
    if not all(0 <= votes <= MAX_VOTES for votes in row.votes) or sum(row.votes) == 0:
        return "missing value"
    if layout.folders[split] is None:
        return "split absent"
    if PurePosixPath(row.name).name != row.name or path not in layout.names:
        return "missing image"
    return None


def _label(row: _Row, layout: _Layout) -> tuple[Reason | None, str]:
    votes = dict(zip(VOTE_COLUMNS, row.votes, strict=True))
    winner = max(votes, key=votes.__getitem__)  # max returns the first of equal columns
    if winner == VOTE_COLUMNS[0] and layout.neutral_rule == "others":
        other = max(VOTE_COLUMNS[1 : len(layout.labels)], key=votes.__getitem__)
        winner = other if votes[other] > 0 else winner
    position = VOTE_COLUMNS.index(winner)
    return (None, layout.labels[position]) if position < len(layout.labels) else (NOT_A_LABEL[winner], "")
