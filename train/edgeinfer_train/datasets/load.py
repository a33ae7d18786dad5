"""Reading of prepared data sets: `DATA/<split>/<label>/<image>`, with an optional votes file.

`prepare` writes this layout; `fit`, `evaluate` and the export read it with this module.
"""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeinfer.errors import SourceError, shown_path
from edgeinfer.expression.preprocess import model_input
from edgeinfer.results import Colour, Image
from edgeinfer.sources.picture_size import PICTURE_SUFFIXES, check_size, read_header
from edgeinfer_train.datasets.layout import DATASET_FILE, FACES_FILE, SIZE_RANGE, SPLITS, VOTES_FILE, Split
from edgeinfer_train.datasets.votes import Votes, read_votes
from edgeinfer_train.errors import DataError
from edgeinfer_train.labels import LABEL_MODES, LabelMode

IMAGE_SUFFIXES = PICTURE_SUFFIXES
MAX_IMAGE_BYTES = 100_000_000
"""Maximum size of an image file in a data set, in bytes."""
MAX_IMAGE_MEGAPIXELS = 50.0
"""Maximum size of an image in a data set, in millions of pixels."""


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """Content of `DATA/dataset.json`.

    Attributes:
        name: Display name, also written to the model's metadata, for example "FERPlus".
        labels: Class folders, in the order of the model's outputs.
        label_mode: Human-readable rule that assigned faces to folders.
        default_label_mode: Default label mode of `load_split`.
        size: Side in pixels to which all faces were scaled, or None if they have the size of the source.
    """

    name: str
    labels: tuple[str, ...]
    label_mode: str
    default_label_mode: LabelMode = "argmax"
    size: int | None = None

    def protocol(self, mode: LabelMode | None = None) -> str:
        """Return a human-readable description of the labels under a mode, by default the data set's own."""
        extra = {"argmax": "", "majority": ", faces with a majority only", "votes": ", votes as soft labels"}
        return self.label_mode + extra[mode or self.default_label_mode]


@dataclass(frozen=True, slots=True)
class Faces:
    """One split in memory.

    Attributes:
        images: (N, H, W, C) uint8.
        labels: (N,) int64 indices into the labels.
        soft_labels: (N, K) float32; each row sums to 1. Shares of the votes, or one-hot without votes.
        names: N paths relative to the data folder.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    soft_labels: NDArray[np.float32]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, keep: NDArray[np.int64] | NDArray[np.bool_]) -> Faces:
        """Return a subset of the faces, selected by positions or by a mask."""
        positions = np.arange(len(self))[keep]
        return Faces(
            self.images[keep],
            self.labels[keep],
            self.soft_labels[keep],
            tuple(self.names[i] for i in positions),
        )


def concatenate(first: Faces, second: Faces) -> Faces:
    """Return the faces of two splits with the same labels and image size, in this order."""
    return Faces(
        np.concatenate([first.images, second.images]),
        np.concatenate([first.labels, second.labels]),
        np.concatenate([first.soft_labels, second.soft_labels]),
        first.names + second.names,
    )


def read_info(data: Path) -> DatasetInfo:
    """Read the description of a prepared data folder.

    Raises:
        DataError: The folder does not exist, was not prepared, or its preparation was interrupted.
    """
    path = data / DATASET_FILE
    if not path.is_file():
        state = "has no dataset.json" if data.is_dir() else "is not a folder" if data.exists() else "does not exist"
        raise DataError(f"{data} {state}: create a data folder with edgeinfer-train prepare")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        complete = values["complete"]
        # Data folders from early versions have no mode.
        mode = values.get("default_label_mode", "votes" if (data / VOTES_FILE).is_file() else "argmax")
        size = values.get("size")
        if mode not in LABEL_MODES or (size is not None and not SIZE_RANGE[0] <= size <= SIZE_RANGE[1]):
            raise ValueError(mode, size)
        info = DatasetInfo(values["name"], tuple(values["labels"]), values["label_mode"], mode, size)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged: run edgeinfer-train prepare again") from error
    if not complete:
        raise DataError(
            f"the preparation of {data} was interrupted: run the same edgeinfer-train prepare command again"
        )
    return info


def load_split(
    data: Path,
    split: Split,
    *,
    size_hw: tuple[int, int] = (48, 48),
    colour: Colour = "grey",
    limit: int | None = None,
    seed: int | None = None,
    label_mode: LabelMode | None = None,
    labels: tuple[str, ...] | None = None,
) -> Faces:
    """Read one split into memory.

    Args:
        data: Prepared data folder.
        split: Split to read. Training faces with the same pixels as a validation or test face are excluded, so that
            no model is measured on faces that it was trained on.
        size_hw: Height and width of the returned faces in pixels.
        colour: Channels of the returned faces.
        limit: Maximum number of faces, spaced evenly over the sorted names; None reads all.
        seed: Seed for selecting `limit` faces at random instead, or None.
        label_mode: Conversion of votes to labels; None uses the data set's default, which is "votes" if it has votes,
            else "argmax". "argmax" uses the folder's label, one-hot. "votes" uses the shares of the votes as soft
            labels, with single votes set to 0. "majority" is one-hot, and excludes faces whose winning label has at
            most half of those votes, counted over all ten columns.
        labels: Labels to read, in this order; None reads all labels of the data set.

    Raises:
        DataError: The folder is not prepared, the split is missing or empty, an image cannot be read, the data set
            has no votes but the mode needs them, or it lacks a label.
    """
    info = read_info(data)
    wanted = labels or info.labels
    _check_labels(wanted, info, data)
    mode = label_mode or info.default_label_mode
    votes = read_votes(data) if mode != "argmax" else None
    files = split_files(data, split, wanted)
    if votes and mode == "majority":
        files = _with_majority(files, votes, data, split)
    held_out = _held_out_digests(data, info.labels) if split == "train" else set[bytes]()
    if limit is not None and limit < len(files):
        files = [files[i] for i in _select(len(files), limit, seed)]
    images, targets, names = [], [], []
    for name, label in files:
        image = read_image(data / name)
        if held_out and pixel_digest(image) in held_out:
            continue
        images.append(model_input(image, size_hw=size_hw, colour=colour))
        targets.append(label)
        names.append(name)
    if not images:
        raise DataError(f"every {split} face of {data} is a copy of a validation or test face; none is left")
    hard = np.array(targets, dtype=np.int64)
    soft = np.eye(len(wanted), dtype=np.float32)[hard]
    if votes and mode == "votes":
        soft = votes.shares(names, wanted, soft)
    return Faces(np.stack(images), hard, soft, tuple(names))


def _check_labels(labels: tuple[str, ...], info: DatasetInfo, data: Path) -> None:
    missing = [label for label in labels if label not in info.labels]
    if missing:
        raise DataError(
            f"{data} has the labels {' '.join(info.labels)}, not {' '.join(missing)}: "
            "prepare the data with the labels of the model"
        )


def _held_out_digests(data: Path, labels: tuple[str, ...]) -> set[bytes]:
    """Return the pixel digests of all validation and test faces."""
    return {pixel_digest(read_image(data / name)) for s in ("valid", "test") for name, _ in _files(data, s, labels)}


def _select(count: int, limit: int, seed: int | None) -> NDArray[np.int64]:
    if seed is None:
        return np.linspace(0, count - 1, limit).round().astype(np.int64)
    return np.sort(np.random.default_rng(seed).choice(count, limit, replace=False))


def split_files(data: Path, split: Split, labels: tuple[str, ...]) -> list[tuple[str, int]]:
    """Return the images of a split as sorted (path relative to `data`, label index) pairs.

    Raises:
        DataError: The split is missing or empty.
    """
    files = _files(data, split, labels)
    if not files:
        present = ", ".join(present_splits(data, labels)) or "none"
        raise DataError(f"{data} has no {split} faces; splits with faces: {present}")
    return files


def present_splits(data: Path, labels: tuple[str, ...]) -> tuple[Split, ...]:
    """Return the splits of a prepared data folder that contain faces."""
    return tuple(split for split in SPLITS if _files(data, split, labels))


def _files(data: Path, split: str, labels: tuple[str, ...]) -> list[tuple[str, int]]:
    found = []
    for index, label in enumerate(labels):
        folder = data / split / label
        if folder.is_dir():
            found += [
                (f"{split}/{label}/{p.name}", index) for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES
            ]
    return sorted(found)


def read_image(path: Path) -> Image:
    """Decode an image file to grey or BGR pixels, as stored.

    Raises:
        DataError: The file cannot be read.
    """
    image = None
    if path.is_file():
        with path.open("rb") as file:
            image = decode_image(file.read(MAX_IMAGE_BYTES + 1))
    if image is None:
        raise DataError(f"{shown_path(path)} is not a readable image: remove it or prepare the data again")
    return image


def exceeds_limit(data: bytes) -> bool:
    """Return True if an encoded image is too large, or its header declares too many pixels."""
    try:
        return len(data) > MAX_IMAGE_BYTES or read_header(data).pixels > 1e6 * MAX_IMAGE_MEGAPIXELS
    except SourceError:
        return False


def decode_image(data: bytes) -> Image | None:
    """Decode an encoded image, such as PNG or JPEG, to (H, W) or (H, W, 3) uint8.

    Returns:
        The image, or None if it is invalid or exceeds the limits of a data set.
    """
    if exceeds_limit(data):
        return None
    try:
        check_size(data)
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYCOLOR)
    except (SourceError, cv2.error):
        return None
    return None if image is None else np.asarray(image, dtype=np.uint8)


def pixel_digest(image: Image) -> bytes:
    """Return a digest of the pixels and the shape of an image."""
    pixels = np.ascontiguousarray(image).data
    return hashlib.blake2b(pixels, digest_size=16, person=str(image.shape).encode()[:16]).digest()


def read_properties(data: Path) -> dict[str, dict[str, str]]:
    """Return the properties of the faces of a prepared data set, by path relative to `data`.

    The keys depend on the source: `person` (name of the person), `valence` and `arousal` (-1..1). A property that
    a face lacks is "".
    """
    if not (data / FACES_FILE).is_file():
        return {}
    with (data / FACES_FILE).open(encoding="utf-8", newline="") as file:
        return {row.pop("file"): row for row in csv.DictReader(file)}


def _with_majority(files: list[tuple[str, int]], votes: Votes, data: Path, split: Split) -> list[tuple[str, int]]:
    agreed = votes.have_majority([name for name, _ in files])
    kept = [file for file, keep in zip(files, agreed, strict=True) if keep]
    if not kept:
        raise DataError(f"no {split} face of {data} has a majority label: choose another `label_mode`")
    return kept
