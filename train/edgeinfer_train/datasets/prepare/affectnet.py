"""AffectNet in its two published forms: tables with images, and the release with one .npy file per value."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from edgeinfer.errors import shown_path
from edgeinfer.expression.preprocess import crop_face
from edgeinfer_train.datasets.layout import Split
from edgeinfer_train.datasets.prepare.listed import ListedFace, Listing, prepare_listed
from edgeinfer_train.datasets.prepare.report import DecodedFace, PrepareReport, Progress, Reason, Skipped
from edgeinfer_train.datasets.prepare.scaling import encode_face
from edgeinfer_train.datasets.prepare.splitting import split_of
from edgeinfer_train.datasets.prepare.table import TableRow, read_rows
from edgeinfer_train.datasets.prepare.tree import DAMAGED, FileTree, open_tree, shallowest
from edgeinfer_train.errors import DataError
from edgeinfer_train.labels import EIGHT_LABELS

NAME = "AffectNet"
TABLES: dict[str, Split] = {"training.csv": "train", "validation.csv": "valid"}
HEADER = (
    "subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks", "expression",
    "valence", "arousal",
)  # fmt: skip
"""Columns of the tables; the published validation.csv has no header."""
COLUMNS = tuple(name for name in HEADER if name != "facial_landmarks")
LABELS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", "contempt")
"""Labels of the codes 0 to 7."""
NO_LABEL: dict[float, Reason] = {8: "no label", 9: "uncertain", 10: "not a face"}
MAX_VALUE_BYTES = 10_000
"""Maximum size of a .npy file with one value, in bytes."""


def prepare_affectnet(
    source: Path,
    out: Path,
    *,
    classes: Literal[7, 8] = 7,
    seed: int = 0,
    size: int | None = None,
    progress: Progress | None = None,
) -> PrepareReport:
    """Prepare AffectNet with its expressions; valence and arousal are kept in faces.csv.

    AffectNet has a training and a validation split, and no test split. Faces of the tables are cut out of their images
    by the published box, unless the images are already cropped to it. Rows without an image are counted, so a part
    of the archive is sufficient. A second call with the same folder completes an interrupted one and rewrites nothing.

    Args:
        source: Folder or .zip, at any depth, with `training.csv` and `validation.csv` and the images that they name, or
            with `train_set/` and `val_set/`, each with `images/N.jpg` and `annotations/N_exp.npy`, `N_val.npy` and
            `N_aro.npy`.
        out: Data folder to write.
        classes: Number of labels; 8 includes contempt.
        seed: Seed of the validation split, if that of AffectNet is absent.
        size: Side in pixels to which faces are scaled, or None to keep their size.
        progress: Callback with the arguments (faces done, total faces).

    Raises:
        DataError: The source is missing or lacks a published file; or `out` contains a different data set.
        RunError: `out` cannot be written.
    """
    labels = EIGHT_LABELS[:classes]
    with open_tree(source) as tree:
        tables = {path: split for name, split in TABLES.items() if (path := shallowest(tree.files, name))}
        if tables and "train" not in tables.values():
            raise DataError(f"{shown_path(source)} has validation.csv but no training.csv of AffectNet's archive")
        faces, skipped = _by_table(tree, tables, source) if tables else _by_value(tree, source)
        contempt = [Skipped(f.split or "", f.path, "contempt") for f in faces if f.label not in labels]
        used = [face for face in faces if face.label in labels]
        listing = Listing(NAME, labels, used, [*skipped, *contempt], seed, size=size)
        return prepare_listed(tree, source, out, listing, progress, _crop)


def _by_table(tree: FileTree, tables: dict[str, Split], source: Path) -> tuple[list[ListedFace], list[Skipped]]:
    images = {"/".join(PurePosixPath(path).parts[-2:]): path for path in tree.files if not path.endswith(".csv")}
    if not images:
        raise DataError(
            f"{shown_path(source)} has no images: extract Manually_Annotated.part*.rar of AffectNet's archive beside "
            "the tables"
        )
    found: list[ListedFace] = []
    skipped: list[Skipped] = []
    for table, split in tables.items():
        for row in read_rows(tree, table, COLUMNS, HEADER):
            path = images.get(row.values[0])
            face = _face(row, path or "", split)
            if isinstance(face, str):
                skipped.append(Skipped(split, row.values[0], face))
            elif path is None:
                skipped.append(Skipped(split, row.values[0], "missing image"))
            else:
                found.append(replace(face, name=row.values[0].replace("/", "_")))
    return found, skipped


def _face(row: TableRow, path: str, split: Split) -> ListedFace | Reason:
    if row.reason is not None:
        return row.reason
    name, *box, code, valence, arousal = row.values
    if not name or not code:
        return "missing value"
    label = _label(code)
    if label not in LABELS:
        return label  # type: ignore[return-value]
    sides = [int(number) if math.isfinite(number := _number(text)) else 0 for text in box]
    xywh = (sides[0], sides[1], sides[2], sides[3]) if sides[2] > 0 and sides[3] > 0 else None
    return ListedFace(path, label, split, _affect(valence, arousal), box_xywh=xywh)


def _label(code: str) -> str:
    """Return the label of a code, or the reason for skipping it."""
    number = _number(code)
    if number in NO_LABEL:
        return NO_LABEL[number]
    return LABELS[int(number)] if number in range(len(LABELS)) else "unknown code"


def _affect(valence: str, arousal: str) -> dict[str, str]:
    """Return the properties of a face; -2 is AffectNet's mark for a missing value."""
    values = {"valence": _number(valence), "arousal": _number(arousal)}
    return {name: f"{value:g}" if -1 <= value <= 1 else "" for name, value in values.items()}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _by_value(tree: FileTree, source: Path) -> tuple[list[ListedFace], list[Skipped]]:
    found: list[ListedFace] = []
    skipped: list[Skipped] = []
    for folder, split, number in _annotated(tree):
        path = f"{folder}images/{number}.jpg"
        texts = [_value(tree, f"{folder}annotations/{number}_{name}.npy") for name in ("exp", "val", "aro")]
        label = _label(texts[0]) if texts[0] else "missing value"
        if label not in LABELS:
            skipped.append(Skipped(split, path, label))  # type: ignore[arg-type]
        elif path not in tree.files:
            skipped.append(Skipped(split, path, "missing image"))
        else:
            name = f"{split}_{number}.jpg"
            found.append(ListedFace(path, label, split, _affect(texts[1], texts[2]), name=name))
    if not found and not skipped:
        raise DataError(
            f"{shown_path(source)} has neither training.csv of AffectNet's archive nor annotations/N_exp.npy in "
            "train_set/ and val_set/: pass the folder that contains them"
        )
    return found, skipped


def _annotated(tree: FileTree) -> Iterator[tuple[str, Split, str]]:
    """Yield folder, split and number of each annotated image, in the order of the numbers."""
    places = []
    for path in tree.files:
        head, found, name = path.rpartition("annotations/")
        number = name.removesuffix("_exp.npy")
        split = split_of(head.rstrip("/").rpartition("/")[2].removesuffix("_set"))
        if found and number.isdecimal() and number != name and split:
            places.append((head, split, number))
    yield from sorted(places, key=lambda place: (place[0], int(place[2])))


def _value(tree: FileTree, path: str) -> str:
    """Return the number or text in a .npy file, or "" if it is missing or damaged."""
    if path not in tree.files:
        return ""
    try:
        with tree.open(path) as file:
            return str(np.load(io.BytesIO(file.read(MAX_VALUE_BYTES)), allow_pickle=False).item())
    except DAMAGED:
        return ""


def _crop(image: DecodedFace, face: ListedFace) -> DecodedFace:
    """Cut the face out of its image; an image that does not contain the box is already cropped."""
    height, width = image.image.shape[:2]
    if face.box_xywh is None:
        return image
    x, y, w, h = face.box_xywh
    if min(x, y) < 0 or x + w > width or y + h > height or (w, h) == (width, height):
        return image
    return encode_face(np.ascontiguousarray(crop_face(image.image, (x, y, w, h), 0.0)), face.path)
