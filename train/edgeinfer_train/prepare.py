"""From a data set as it is published to the layout that `edgeinfer_train.data` reads."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Protocol

import numpy as np

from edgeinfer_train.data import (
    DATASET_FILE,
    EIGHT_LABELS,
    SKIPPED_FILE,
    SPLITS,
    VOTE_COLUMNS,
    VOTES_FILE,
    Split,
    decode_image,
)
from edgeinfer_train.errors import DataError, RunError

Reason = Literal[
    "no name", "duplicate name", "missing value", "unknown split", "split absent", "missing image",
    "unreadable image", "unknown", "not a face", "contempt",
]  # fmt: skip

USAGES: dict[str, tuple[Split, str]] = {
    "Training": ("train", "FER2013Train"),
    "PublicTest": ("valid", "FER2013Valid"),
    "PrivateTest": ("test", "FER2013Test"),
}
CSV_NAME = "fer2013new.csv"
NOT_A_LABEL: dict[str, Reason] = {"unknown": "unknown", "NF": "not a face", "contempt": "contempt"}

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row that was not used, and why."""

    split: str
    name: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class PrepareReport:
    """What `prepare` did.

    Attributes:
        labels: the class folders in order.
        counts: faces by split and label, zeros included.
        skipped: every row not used.
        absent: splits whose folder the source does not hold.
        written: files that were not there before.
    """

    labels: tuple[str, ...]
    counts: dict[Split, dict[str, int]]
    skipped: tuple[Skipped, ...]
    absent: tuple[Split, ...]
    written: int

    @property
    def empty_labels(self) -> tuple[str, ...]:
        """Labels without a single face in any split."""
        return tuple(name for name in self.labels if not any(c[name] for c in self.counts.values()))

    def skipped_by_reason(self) -> dict[Reason, list[str]]:
        """Names of the rows not used, by reason, in the order of the source."""
        found: dict[Reason, list[str]] = {}
        for row in self.skipped:
            found.setdefault(row.reason, []).append(row.name)
        return found


class FileTree(Protocol):
    """A folder or an archive of files, read by relative path."""

    def names(self) -> list[str]:
        """Paths of all files, with forward slashes."""

    def read(self, name: str) -> bytes:
        """The bytes of one file; none when it cannot be read."""


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> list[str]:
        return [p.relative_to(self._root).as_posix() for p in self._root.rglob("*") if p.is_file()]

    def read(self, name: str) -> bytes:
        try:
            return (self._root / name).read_bytes()
        except OSError:
            return b""


class _Archive:
    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file

    def names(self) -> list[str]:
        return [i.filename for i in self._file.infolist() if not i.is_dir()]

    def read(self, name: str) -> bytes:
        try:
            return self._file.read(name)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
            return b""  # one damaged member is an unreadable image, not the end


def prepare_ferplus(
    source: Path, out: Path, *, classes: Literal[7, 8] = 7, progress: Progress | None = None
) -> PrepareReport:
    """Turn FERPlus as it is published into class folders, with the ten votes kept beside them.

    The label is the column with most votes, the first one on a tie. Rows where "unknown", "NF" or, with
    seven classes, contempt wins are not used. Votes come from fer2013new.csv alone. A second run over the
    same folder finishes what the first began and writes nothing twice.

    Args:
        source: a folder or .zip with FER2013Train/, FER2013Valid/, FER2013Test/ and fer2013new.csv,
            at any depth.
        out: the data folder to fill.
        classes: 8 keeps contempt.
        progress: called with (rows done, rows in all).

    Raises:
        DataError: the source is missing, laid out differently, or `out` holds another data set.
        RunError: `out` cannot be written.
    """
    with _open_tree(source) as tree:
        names = tree.names()
        table = _shallowest(names, CSV_NAME)
        if table is None:
            raise DataError(f"{source} holds no {CSV_NAME}; expected FERPlus as published, image folders and that file")
        content = tree.read(table)
        rows = _rows(content, source)
        folders = {split: _image_folder(names, folder) for split, folder in USAGES.values()}
        if all(folder is None for folder in folders.values()):
            raise DataError(f"{source} holds none of the folders {', '.join(f for _, f in USAGES.values())}")
        info: dict[str, Any] = {
            "name": "FERPlus", "labels": EIGHT_LABELS[:classes], "label_mode": "argmax over ten votes",
            "votes_sha256": hashlib.sha256(content).hexdigest(),
        }  # fmt: skip
        try:
            _claim(out, info)
            report = _write(
                tree,
                rows,
                out,
                names=frozenset(names),
                folders=folders,
                labels=EIGHT_LABELS[:classes],
                progress=progress,
            )
            _write_json(out / DATASET_FILE, {**info, "complete": True, "counts": report.counts})
        except OSError as error:
            raise RunError(f"cannot write the data folder {out}: {error.strerror or error}") from error
    return report


@contextlib.contextmanager
def _open_tree(source: Path) -> Iterator[FileTree]:
    if source.is_dir():
        yield _Folder(source)
    elif source.is_file():
        try:
            archive = zipfile.ZipFile(source)
        except zipfile.BadZipFile as error:
            raise DataError(f"{source} is neither a folder nor a readable zip file") from error
        with archive:
            yield _Archive(archive)
    else:
        raise DataError(f"{source} does not exist; expected a folder or a zip file")


def _shallowest(names: list[str], wanted: str) -> str | None:
    return min((n for n in names if PurePosixPath(n).name == wanted), key=lambda n: (n.count("/"), n), default=None)


def _image_folder(names: list[str], wanted: str) -> str | None:
    parents = {parent for n in names for parent in PurePosixPath(n).parents if parent.name == wanted}
    return min((str(p) for p in parents), key=lambda p: (p.count("/"), p), default=None)


def _rows(content: bytes, source: Path) -> list[dict[str, Any]]:
    import pandas as pd  # noqa: PLC0415 - keeps the command's help quick

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


def _claim(out: Path, info: dict[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    path = out / DATASET_FILE
    if path.is_file():
        old: dict[str, Any] | None = None
        with contextlib.suppress(ValueError):
            old = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(old, dict):
            if any(old.get(k) != (list(v) if isinstance(v, tuple) else v) for k, v in info.items()):
                raise DataError(f"{out} already holds another data set or other classes; choose a new --out folder")
            return
    elif any(out.iterdir()):
        raise DataError(f"{out} is not empty and holds no prepared data; choose a new --out folder")
    _write_json(path, {**info, "complete": False})


def _write(
    tree: FileTree,
    rows: list[dict[str, Any]],
    out: Path,
    *,
    names: frozenset[str],
    folders: dict[Split, str | None],
    labels: tuple[str, ...],
    progress: Progress | None,
) -> PrepareReport:
    counts: dict[Split, Counter[str]] = {split: Counter() for split in SPLITS}
    skipped: list[Skipped] = []
    votes: list[list[Any]] = []
    seen: set[str] = set()
    written = 0
    for done, row in enumerate(rows, start=1):
        split, name, path, reason = _locate(row, seen, folders, names)
        if reason is None:
            reason, label = _label(row, labels)
            content = tree.read(path) if reason is None else b""
            if reason is None and decode_image(content) is None:
                reason = "unreadable image"
        if reason is not None:
            skipped.append(Skipped(split or str(row["Usage"]), name, reason))
        elif split is not None:
            target = out / split / label / name
            counts[split][label] += 1
            votes.append([target.relative_to(out).as_posix(), *(int(row[c]) for c in VOTE_COLUMNS)])
            written += _write_new(target, content)
        if progress:
            progress(done, len(rows))
    _write_csv(out / VOTES_FILE, ["file", *VOTE_COLUMNS], votes)
    _write_csv(out / SKIPPED_FILE, ["split", "name", "reason"], [[s.split, s.name, s.reason] for s in skipped])
    absent = tuple(split for split in SPLITS if folders[split] is None)
    table = {split: {label: counts[split][label] for label in labels} for split in SPLITS if split not in absent}
    return PrepareReport(labels, table, tuple(skipped), absent, written)


def _locate(
    row: dict[str, Any], seen: set[str], folders: dict[Split, str | None], names: frozenset[str]
) -> tuple[Split | None, str, str, Reason | None]:
    """Split, image name and path inside the source of a row, or the reason why it has none."""
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
    path = f"{folders[split]}/{name}"
    reason: Reason | None = None
    if not np.isfinite(votes).all() or votes.min() < 0 or votes.sum() == 0:
        reason = "missing value"
    elif folders[split] is None:
        reason = "split absent"
    elif PurePosixPath(name).name != name or path not in names:
        reason = "missing image"
    return split, name, path, reason


def _label(row: dict[str, Any], labels: tuple[str, ...]) -> tuple[Reason | None, str]:
    winner = max(VOTE_COLUMNS, key=lambda column: row[column])  # max keeps the first of equals
    position = VOTE_COLUMNS.index(winner)
    return (None, labels[position]) if position < len(labels) else (NOT_A_LABEL[winner], "")


def _write_new(target: Path, content: bytes) -> bool:
    if target.is_file() and target.read_bytes() == content:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return True


def _write_csv(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    _write_new(path, text.getvalue().encode())


def _write_json(path: Path, value: dict[str, Any]) -> None:
    _write_new(path, (json.dumps(value, indent=2) + "\n").encode())
