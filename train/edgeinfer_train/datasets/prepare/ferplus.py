"""FERPlus as published: three folders of images and a table of ten votes per face."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np

from edgeinfer_train.datasets.load import SPLITS, VOTES_FILE, Split, decode_image
from edgeinfer_train.datasets.prepare.tree import FileTree, open_tree, read, shallowest
from edgeinfer_train.datasets.prepare.writing import (
    DataWriter,
    Identity,
    PrepareReport,
    Progress,
    Reason,
    Skipped,
    open_writer,
    write_csv,
)
from edgeinfer_train.errors import DataError
from edgeinfer_train.labels import EIGHT_LABELS, VOTE_COLUMNS, LabelMode

NeutralRule = Literal["plurality", "others"]

USAGES: dict[str, tuple[Split, str]] = {
    "Training": ("train", "FER2013Train"),
    "PublicTest": ("valid", "FER2013Valid"),
    "PrivateTest": ("test", "FER2013Test"),
}
CSV_NAME = "fer2013new.csv"
NOT_A_LABEL: dict[str, Reason] = {"unknown": "unknown", "NF": "not a face", "contempt": "contempt"}


@dataclass(frozen=True, slots=True)
class _Layout:
    """Folders by split, paths of all files, and the label rules."""

    folders: dict[Split, str | None]
    names: frozenset[str]
    labels: tuple[str, ...]
    neutral_rule: NeutralRule


def prepare_ferplus(
    source: Path,
    out: Path,
    *,
    classes: Literal[7, 8] = 7,
    label_mode: LabelMode = "votes",
    neutral_rule: NeutralRule = "plurality",
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
        progress: Called with (rows done, total rows).

    Raises:
        DataError: The source is missing or has an unexpected layout, or `out` contains a different data set.
        RunError: `out` cannot be written.
    """
    with open_tree(source) as tree:
        names = frozenset(tree.files())
        table = shallowest(names, CSV_NAME)
        if table is None:
            raise DataError(f"{source} has no {CSV_NAME}: expected FERPlus as published, image folders and that file")
        content = read(tree, table)
        rows = _rows(content, source)
        folders = {split: _image_folder(names, folder) for split, folder in USAGES.values()}
        if all(folder is None for folder in folders.values()):
            raise DataError(f"{source} has none of the folders {', '.join(f for _, f in USAGES.values())}")
        rule = "argmax over ten votes" + (", neutral yields to others" if neutral_rule == "others" else "")
        digest = hashlib.sha256(content).hexdigest()
        identity = Identity("FERPlus", EIGHT_LABELS[:classes], rule, "votes_sha256", digest)
        layout = _Layout(folders, names, identity.labels, neutral_rule)
        with open_writer(out, identity, label_mode) as writer:
            votes = _write(tree, rows, layout, writer, progress)
            write_csv(out / VOTES_FILE, ["file", *VOTE_COLUMNS], votes)
            return writer.finish([split for split in SPLITS if folders[split] is None])


def _write(
    tree: FileTree, rows: list[dict[str, Any]], layout: _Layout, writer: DataWriter, progress: Progress | None
) -> list[list[Any]]:
    """Copy the images of all rows; return their paths relative to the data folder, with their votes."""
    votes: list[list[Any]] = []
    seen: set[str] = set()
    for done, row in enumerate(rows, start=1):
        split, name, path, reason = _locate(row, seen, layout)
        if reason is None:
            reason, label = _label(row, layout)
        content = read(tree, path) if reason is None else b""
        image = decode_image(content)
        if reason is None and image is None:
            reason = "unreadable image"
        if reason is not None:
            writer.skipped.append(Skipped(split or str(row["Usage"]), name, reason))
        elif split is not None and image is not None:
            file = writer.add(split, label, name, content, image)
            votes.append([file, *(int(row[c]) for c in VOTE_COLUMNS)])
        if progress:
            progress(done, len(rows))
    return votes


def _image_folder(names: Iterable[str], wanted: str) -> str | None:
    parents = {parent for n in names for parent in PurePosixPath(n).parents if parent.name == wanted}
    return min((str(p) for p in parents), key=lambda p: (p.count("/"), p), default=None)


def _rows(content: bytes, source: Path) -> list[dict[str, Any]]:
    import pandas as pd  # noqa: PLC0415 - slow import, not needed for the help text

    needed = ["Usage", "Image name", *VOTE_COLUMNS]
    try:
        table = pd.read_csv(io.BytesIO(content), dtype=str, skipinitialspace=True)
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{CSV_NAME} in {source} is not a readable CSV file: {error}") from error
    table.columns = table.columns.str.strip()
    missing = [c for c in needed if c not in table.columns]
    if missing:
        raise DataError(f"{CSV_NAME} in {source} lacks the columns {', '.join(missing)}")
    table[list(VOTE_COLUMNS)] = table[list(VOTE_COLUMNS)].apply(pd.to_numeric, errors="coerce")
    return [{str(name): value for name, value in row.items()} for row in table[needed].to_dict("records")]


def _locate(row: dict[str, Any], seen: set[str], layout: _Layout) -> tuple[Split | None, str, str, Reason | None]:
    """Return split, image name, path inside the source, and the reason for skipping the row or None."""
    split = USAGES[row["Usage"]][0] if row["Usage"] in USAGES else None
    name = row["Image name"].strip() if isinstance(row["Image name"], str) else ""
    if not name:
        return split, "", "", "no name"
    if split is None:
        return None, name, "", "unknown split"
    if name in seen:
        return split, name, "", "duplicate name"
    seen.add(name)
    votes = np.array([row[c] for c in VOTE_COLUMNS], dtype=float)
    path = f"{layout.folders[split]}/{name}"
    reason: Reason | None = None
    if not np.isfinite(votes).all() or votes.min() < 0 or votes.sum() == 0:
        reason = "missing value"
    elif layout.folders[split] is None:
        reason = "split absent"
    elif PurePosixPath(name).name != name or path not in layout.names:
        reason = "missing image"
    return split, name, path, reason


def _label(row: dict[str, Any], layout: _Layout) -> tuple[Reason | None, str]:
    winner = max(VOTE_COLUMNS, key=lambda column: row[column])  # max returns the first of equal columns
    if winner == VOTE_COLUMNS[0] and layout.neutral_rule == "others":
        other = max(VOTE_COLUMNS[1 : len(layout.labels)], key=lambda column: row[column])
        winner = other if row[other] > 0 else winner
    position = VOTE_COLUMNS.index(winner)
    return (None, layout.labels[position]) if position < len(layout.labels) else (NOT_A_LABEL[winner], "")
