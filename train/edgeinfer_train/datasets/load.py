"""A prepared data set: `DATA/<split>/<label>/<image>`, with the votes beside it.

`prepare` writes this layout; `fit`, `evaluate` and the export read it here.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeinfer.expression.preprocess import model_input
from edgeinfer.results import Colour, Image
from edgeinfer_train.errors import DataError
from edgeinfer_train.labels import EIGHT_LABELS, LABEL_MODES, VOTE_COLUMNS, LabelMode, has_majority, vote_distribution

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
DATASET_FILE = "dataset.json"
VOTES_FILE = "votes.csv"
SKIPPED_FILE = "skipped.csv"


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """What `DATA/dataset.json` says.

    Attributes:
        name: for people and for the model's metadata, such as "FERPlus".
        labels: the class folders, in the order of the model's outputs.
        label_mode: the rule that chose the folders, in words.
        default_label_mode: what `load_split` does unless told otherwise.
    """

    name: str
    labels: tuple[str, ...]
    label_mode: str
    default_label_mode: LabelMode = "argmax"

    def protocol(self, mode: LabelMode | None = None) -> str:
        """Name the rule behind the labels of a mode, by default the data set's own, for a report."""
        extra = {"argmax": "", "majority": ", faces with a majority only", "votes": ", votes as soft labels"}
        return self.label_mode + extra[mode or self.default_label_mode]


@dataclass(frozen=True, slots=True)
class Faces:
    """One split in memory.

    Attributes:
        images: (N, H, W, C) uint8.
        labels: (N,) int64, index into the data set's labels.
        soft_labels: (N, K) float32, each row a distribution: the votes where there are some, else one-hot.
        names: N paths below the data folder.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    soft_labels: NDArray[np.float32]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, keep: NDArray[np.int64] | NDArray[np.bool_]) -> Faces:
        """The faces at some positions, in that order."""
        positions = np.arange(len(self))[keep]
        return Faces(
            self.images[keep],
            self.labels[keep],
            self.soft_labels[keep],
            tuple(self.names[i] for i in positions),
        )


def read_info(data: Path) -> DatasetInfo:
    """Read what a prepared folder says of itself.

    Raises:
        DataError: there is no such folder, it was not prepared, or its preparation was interrupted.
    """
    path = data / DATASET_FILE
    if not path.is_file():
        state = "holds no dataset.json" if data.is_dir() else "does not exist"
        raise DataError(f"{data} {state}; make a data folder with `edgeinfer-train prepare`")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        complete = values["complete"]
        # Folders prepared before there was a choice do not name their mode.
        mode = values.get("default_label_mode", "votes" if (data / VOTES_FILE).is_file() else "argmax")
        if mode not in LABEL_MODES:
            raise ValueError(mode)
        info = DatasetInfo(values["name"], tuple(values["labels"]), values["label_mode"], mode)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged; run `edgeinfer-train prepare` again") from error
    if not complete:
        raise DataError(f"preparing {data} was interrupted; run the same `edgeinfer-train prepare` again to finish it")
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
        data: a prepared folder.
        split: which one. Training faces whose pixels also stand in valid or test are left out, since a copy
            of a face that measures must never be learned from.
        size_hw: height and width to bring every face to, in pixels.
        colour: channels of the result.
        limit: at most so many faces, drawn evenly over the sorted names.
        seed: draws them at random instead.
        label_mode: how votes become labels; by default as the data set was prepared, which is "votes" where there
            are votes, else "argmax". "argmax" takes the folder's label, one-hot; "votes" keeps it as the label and
            gives the shares of the votes as soft labels, single votes zeroed; "majority" leaves out faces whose
            winner has no more than half of those votes, counted over all ten columns, and is one-hot.
        labels: take the faces of these alone, in this order; by default all of the data set's.

    Raises:
        DataError: the folder is not prepared, the split is absent or empty, an image cannot be read, the mode
            needs votes that the data set does not have, or it has no such label.
    """
    info = read_info(data)
    wanted = labels or info.labels
    _check_labels(wanted, info, data)
    mode = label_mode or info.default_label_mode
    votes = read_votes(data) if mode != "argmax" else {}
    files = split_files(data, split, wanted)
    if mode == "majority":
        files = _with_majority(files, votes, data, split)
    if split == "train":
        held_out = {
            pixel_digest(read_image(data / n)) for s in ("valid", "test") for n, _ in _files(data, s, info.labels)
        }
    else:
        held_out = set()
    if limit is not None and limit < len(files):
        files = [files[i] for i in _draw(len(files), limit, seed)]
    images, targets, names = [], [], []
    for name, label in files:
        image = read_image(data / name)
        if held_out and pixel_digest(image) in held_out:
            continue
        images.append(model_input(image, size_hw=size_hw, colour=colour))
        targets.append(label)
        names.append(name)
    if not images:
        raise DataError(f"every {split} face of {data} is a copy of a held-out face; nothing is left to learn from")
    hard = np.array(targets, dtype=np.int64)
    soft = np.eye(len(wanted), dtype=np.float32)[hard]
    if mode == "votes":
        columns = [EIGHT_LABELS.index(label) for label in wanted]
        soft = vote_distribution(_counts(names, votes)[:, columns], soft)
    return Faces(np.stack(images), hard, soft, tuple(names))


def _check_labels(labels: tuple[str, ...], info: DatasetInfo, data: Path) -> None:
    missing = [label for label in labels if label not in info.labels]
    if missing:
        raise DataError(
            f"{data} has the labels {' '.join(info.labels)} and not {' '.join(missing)}; "
            "prepare the data with the same classes as the model"
        )


def _draw(count: int, limit: int, seed: int | None) -> NDArray[np.int64]:
    if seed is None:
        return np.linspace(0, count - 1, limit).round().astype(np.int64)
    return np.sort(np.random.default_rng(seed).choice(count, limit, replace=False))


def split_files(data: Path, split: Split, labels: tuple[str, ...]) -> list[tuple[str, int]]:
    """The images of a split as (path below `data`, label index), sorted.

    Raises:
        DataError: the split is absent or empty.
    """
    files = _files(data, split, labels)
    if not files:
        present = ", ".join(present_splits(data, labels)) or "none"
        raise DataError(f"{data} has no {split} faces; splits with faces: {present}")
    return files


def present_splits(data: Path, labels: tuple[str, ...]) -> tuple[Split, ...]:
    """The splits of a prepared folder that hold faces."""
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
    """Decode a picture as it is stored, grey or BGR.

    Raises:
        DataError: it cannot be read.
    """
    image = decode_image(path.read_bytes()) if path.is_file() else None
    if image is None:
        raise DataError(f"{path} is not a readable image; remove it or prepare the data again")
    return image


def decode_image(data: bytes) -> Image | None:
    """Decode PNG, JPEG and the like to (H, W) or (H, W, 3) uint8; None when the bytes are no image."""
    if not data:
        return None
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYCOLOR)
    return None if image is None else np.asarray(image, dtype=np.uint8)


def pixel_digest(image: Image) -> bytes:
    """A digest that two images share only when their pixels are the same."""
    return hashlib.blake2b(image.tobytes(), digest_size=16, person=str(image.shape).encode()[:16]).digest()


def read_votes(data: Path) -> dict[str, NDArray[np.float32]]:
    """Read the votes beside a prepared data set: path below `data` to (10,) float32 in `VOTE_COLUMNS`' order.

    Where the neutral rule gave a face to another emotion, neutral's votes are zero.

    Raises:
        DataError: the data set has none.
    """
    if not (data / VOTES_FILE).is_file():
        raise DataError(f"{data} has one label a face and no votes; only --label-mode argmax goes with it")
    import pandas as pd  # noqa: PLC0415 - only voted data sets need it

    table = pd.read_csv(data / VOTES_FILE, index_col="file")
    votes = table[list(VOTE_COLUMNS)].to_numpy(np.float32)
    folders = np.array([name.split("/")[1] for name in table.index], dtype=str)
    votes[(folders != EIGHT_LABELS[0]) & (votes.argmax(1) == 0), 0] = 0
    return dict(zip(map(str, table.index), votes, strict=True))


def _with_majority(
    files: list[tuple[str, int]], votes: dict[str, NDArray[np.float32]], data: Path, split: Split
) -> list[tuple[str, int]]:
    agreed = has_majority(_counts([name for name, _ in files], votes))
    kept = [file for file, keep in zip(files, agreed, strict=True) if keep]
    if not kept:
        raise DataError(f"no {split} face of {data} has a majority of its votes; choose another --label-mode")
    return kept


def _counts(names: list[str], votes: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    none = np.zeros(len(VOTE_COLUMNS), np.float32)
    return np.stack([votes.get(name, none) for name in names])
