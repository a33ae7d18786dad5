"""Custom tables: a CSV file with the path and the label, or the votes, of each image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgeinfer.errors import shown_path
from edgeinfer_train.datasets.grouping import persons_by_name, persons_by_regex
from edgeinfer_train.datasets.layout import Split
from edgeinfer_train.datasets.prepare.listed import ListedFace, Listing, prepare_listed
from edgeinfer_train.datasets.prepare.pictures import Options, labels_of_source
from edgeinfer_train.datasets.prepare.report import PrepareReport, Progress, Reason, Skipped
from edgeinfer_train.datasets.prepare.splitting import split_of
from edgeinfer_train.datasets.prepare.table import read_columns, read_rows
from edgeinfer_train.datasets.prepare.tree import FileTree, open_tree
from edgeinfer_train.errors import DataError
from edgeinfer_train.labels import check_labels, class_label

PATH, LABEL, SPLIT = "path", "label", "split"
PROPERTIES = ("person", "valence", "arousal")
MAX_CLASSES = 1000


@dataclass(frozen=True, slots=True)
class _Columns:
    """Columns of a table by their role, with the names as written."""

    optional: tuple[str, ...]
    votes: tuple[str, ...]


def prepare_table(
    source: Path, out: Path, options: Options, *, classes: Literal[7, 8] | None, progress: Progress | None
) -> PrepareReport:
    """Prepare the images that a CSV file lists.

    The columns are `path` (relative to the folder of the file) and `label`; optional columns are `split`, `person`,
    `valence` and `arousal`. Without a column `label`, every other column is a label with its number of votes; the label
    with the most votes, the first on a tie, is the class. Without a validation split, 20 % of the training faces
    are used, grouped by person if the persons are known.

    Args:
        source: The .csv file.
        out: Data folder to write.
        options: Name, labels, seed, expression for persons, and default label mode.
        classes: Number of standard labels, see `prepare_folder`.
        progress: Callback with the arguments (faces done, total faces).

    Raises:
        DataError: The file lacks a column, or no row is usable; or `out` contains a different data set.
        RunError: `out` cannot be written.
    """
    with open_tree(source.resolve().parent) as tree:
        columns = _columns(tree, source)
        faces, skipped = _read(tree, source, columns)
        labels = options.labels or (
            check_labels([class_label(name) for name in columns.votes])
            if columns.votes
            else labels_of_source([face.label for face in faces], classes)
        )
        if columns.votes:
            faces = [_with_votes(face, columns.votes, labels) for face in faces]
            skipped += [Skipped(f.split or "", f.path, "other class") for f in faces if not sum(f.votes)]
            faces = [face for face in faces if sum(face.votes)]
        others = [Skipped(f.split or "", f.path, "other class") for f in faces if f.label not in labels]
        faces = _with_persons([face for face in faces if face.label in labels], options.group_regex)
        mode = options.label_mode or ("votes" if columns.votes else "argmax")
        if mode != "argmax" and not columns.votes:
            raise DataError(f"{shown_path(source)} has one label per face and no votes: set `label_mode` to argmax")
        listing = Listing(options.name, labels, faces, [*skipped, *others], options.seed, mode, options.size)
        tree.skipped.clear()  # the folder may contain anything else
        return prepare_listed(tree, source, out, listing, progress)


def _columns(tree: FileTree, source: Path) -> _Columns:
    names = read_columns(tree, source.name)
    lower = {name.lower(): name for name in names}
    if PATH not in lower:
        raise DataError(f"{shown_path(source)} has no column path: expected path,label or path and a column per label")
    optional = tuple(name for name in (SPLIT, *PROPERTIES) if name in lower)
    if LABEL in lower:
        return _Columns(optional, ())
    votes = tuple(name for name in names if name and name.lower() not in (PATH, SPLIT, *PROPERTIES))
    if not 2 <= len(votes) <= MAX_CLASSES:
        raise DataError(f"{shown_path(source)} has no column label, and fewer than two columns with votes")
    return _Columns(optional, votes)


def _read(tree: FileTree, source: Path, columns: _Columns) -> tuple[list[ListedFace], list[Skipped]]:
    found: list[ListedFace] = []
    skipped: list[Skipped] = []
    seen: set[str] = set()
    wanted = (PATH, *columns.optional, *(columns.votes or (LABEL,)))
    for row in read_rows(tree, source.name, wanted):
        path, *values = row.values
        path = path.replace("\\", "/").removeprefix("./")
        optional = dict(zip(columns.optional, values, strict=False))
        split = split_of(optional.get(SPLIT, "")) if optional.get(SPLIT) else None
        reason = row.reason or _reason(tree, path, optional, split, seen)
        label = values[len(columns.optional)] if reason is None and not columns.votes else ""
        votes = _votes(values[len(columns.optional) :]) if columns.votes else ()
        if reason is None and not (label or any(votes)):
            reason = "missing value"
        if reason is not None:
            skipped.append(Skipped(split or "", path, reason))
            continue
        seen.add(path)
        properties = {name: optional[name] for name in PROPERTIES if name in optional}
        found.append(ListedFace(path, class_label(label), split, properties, votes))
    if any(face.split for face in found):
        skipped += [Skipped("", face.path, "unknown split") for face in found if face.split is None]
        found = [face for face in found if face.split is not None]
    return found, skipped


def _reason(tree: FileTree, path: str, values: dict[str, str], split: Split | None, seen: set[str]) -> Reason | None:
    if not path:
        return "no name"
    if values.get(SPLIT) and split is None:
        return "unknown split"
    if path in seen:
        return "duplicate name"
    return None if path in tree.files else "missing image"


def _votes(texts: Sequence[str]) -> tuple[float, ...]:
    """Return the votes, or an empty tuple if one is not a number of at least 0; an empty field is 0."""
    numbers = tuple(_numbers(texts))
    return numbers if all(0 <= number < math.inf for number in numbers) else ()


def _numbers(texts: Sequence[str]) -> Iterator[float]:
    for text in texts:
        try:
            yield float(text or 0)
        except ValueError:
            yield math.nan


def _with_votes(face: ListedFace, columns: Sequence[str], labels: Sequence[str]) -> ListedFace:
    counts = dict.fromkeys(labels, 0.0)
    for column, votes in zip(columns, face.votes, strict=True):
        if class_label(column) in counts:
            counts[class_label(column)] += votes
    winner = max(labels, key=counts.__getitem__)
    return ListedFace(face.path, winner, face.split, face.properties, tuple(counts.values()))


def _with_persons(faces: list[ListedFace], regex: str | None) -> list[ListedFace]:
    if any(face.properties.get("person") for face in faces):
        return faces
    names = [f"{face.label}/{face.path.rpartition('/')[2]}" for face in faces]
    persons = persons_by_name(names) if regex is None else persons_by_regex(names, regex)
    if persons is None:
        return faces
    return [
        ListedFace(f.path, f.label, f.split, {**f.properties, "person": person or ""}, f.votes)
        for f, person in zip(faces, persons, strict=True)
    ]
