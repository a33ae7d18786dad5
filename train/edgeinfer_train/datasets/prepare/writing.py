"""Writing of prepared data folders. All layouts use this module."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2

from edgeinfer.errors import path_text, shown_path
from edgeinfer.expression.preprocess import model_input
from edgeinfer.results import Image
from edgeinfer_train.datasets.grouping import perceptual_hash
from edgeinfer_train.datasets.layout import DATASET_FILE, FACES_FILE, SKIPPED_FILE, SPLITS, VOTES_FILE, Split
from edgeinfer_train.datasets.load import pixel_digest
from edgeinfer_train.datasets.prepare.files import write_csv, write_json, write_new
from edgeinfer_train.datasets.prepare.report import (
    AS_PUBLISHED,
    DecodedFace,
    PreparedFace,
    PrepareReport,
    Skipped,
    nothing_usable,
)
from edgeinfer_train.datasets.prepare.scaling import check_size, scale_face
from edgeinfer_train.errors import DataError, RunError
from edgeinfer_train.labels import LabelMode

NO_PROPERTIES: Mapping[str, str] = MappingProxyType({})
SHARPNESS_SIDE = 48

FOLDS_FILE = "folds.csv"
SUMMARY_FILE = "summary.html"
TABLE_FILES = (SKIPPED_FILE, VOTES_FILE, FOLDS_FILE, FACES_FILE, SUMMARY_FILE)
ONE_LABEL = "one label a face"


@dataclass(frozen=True, slots=True)
class Identity:
    """Properties that must match for a preparation to continue in an existing data folder.

    Attributes:
        name: Name of the data set.
        labels: Class folders, in order.
        label_mode: Human-readable rule that assigns faces to folders.
        key: Name of the digest in dataset.json.
        digest: Digest of the source's data about all faces.
    """

    name: str
    labels: tuple[str, ...]
    label_mode: str
    key: str
    digest: str

    def to_mapping(self) -> dict[str, Any]:
        """Return the values for dataset.json."""
        return {"name": self.name, "labels": list(self.labels), "label_mode": self.label_mode, self.key: self.digest}


def one_label_identity(name: str, labels: tuple[str, ...], faces: Iterable[str]) -> Identity:
    """Return the identity of a data set without votes.

    Args:
        name: Name of the data set.
        labels: Class folders, in order.
        faces: One string per face that identifies it, its split and its label.
    """
    digest = hashlib.sha256(path_text("\n".join(faces)).encode()).hexdigest()
    return Identity(name, labels, ONE_LABEL, "faces_sha256", digest)


def check_classes(labels: Collection[str], source: Path) -> None:
    """Validate that the training faces have at least two labels.

    Args:
        labels: Labels of the training faces.
        source: Source for the error message.

    Raises:
        DataError: All training faces have the same label.
    """
    if len(set(labels)) == 1:
        raise DataError(
            f"{shown_path(source)} has training faces of {next(iter(labels))} only: expected at least two classes"
        )


class DataWriter:
    """Writer of a data folder, face by face. Unchanged existing files are not rewritten.

    Args:
        out: Data folder.
        identity: Identity of the data set.
        default_label_mode: Default label mode of `load_split`.
        size: Side in pixels to which faces are scaled, or None to write them unchanged.

    Attributes:
        skipped: Rows and images that are not used.
    """

    def __init__(self, out: Path, identity: Identity, default_label_mode: LabelMode, size: int | None = None) -> None:
        self.out, self._identity, self._default, self._size = out, identity, default_label_mode, size
        self.skipped: list[Skipped] = []
        self._counts: Counter[tuple[Split, str]] = Counter()
        self._faces: list[PreparedFace] = []
        self._properties: dict[str, Mapping[str, str]] = {}
        self._written = 0

    @property
    def is_empty(self) -> bool:
        """True if no face was added."""
        return not self._counts

    def add(
        self, split: Split, label: str, name: str, face: DecodedFace, properties: Mapping[str, str] = NO_PROPERTIES
    ) -> str:
        r"""Write one face into its class folder.

        Args:
            split: Split of the face.
            label: Label of the face.
            name: File name; a byte that is not UTF-8 is written as \xNN.
            face: Encoded image, and its pixels for finding duplicates.
            properties: Values for the face's row in faces.csv, by column.

        Returns:
            Path relative to the data folder.
        """
        stored, name = (face, name) if self._size is None else scale_face(face, name, self._size)
        target = self.out / split / label / path_text(name)
        self._written += write_new(target, stored.content)
        self._counts[split, label] += 1
        file = target.relative_to(self.out).as_posix()
        if properties:
            self._properties[file] = properties
        digest, person = pixel_digest(stored.image), properties.get("person", "")
        self._faces.append(_describe(file, split, label, face.image, person, digest))
        return file

    def finish(self, absent: Iterable[Split], *, split_rule: str = AS_PUBLISHED) -> PrepareReport:
        """Mark the data folder as complete and return the report.

        Args:
            absent: Splits that the data folder lacks.
            split_rule: Human-readable origin of the splits.

        Raises:
            DataError: No face was added.
        """
        if self.is_empty:
            raise nothing_usable(self.skipped)
        labels, missing = self._identity.labels, tuple(absent)
        rows = [[s.split, s.name, s.reason] for s in self.skipped]
        write_csv(self.out / SKIPPED_FILE, ["split", "name", "reason"], rows)
        self._write_properties()
        counts = {s: {label: self._counts[s, label] for label in labels} for s in SPLITS if s not in missing}
        duplicates = self._find_duplicates()
        values = {
            "size": self._size, "complete": True, "counts": counts, "default_label_mode": self._default,
            "split_rule": split_rule,
            "duplicates": {f"{one}/{other}": count for (one, other), count in duplicates.items()},
        }  # fmt: skip
        write_json(self.out / DATASET_FILE, {**self._identity.to_mapping(), **values})
        return PrepareReport(labels, counts, tuple(self.skipped), missing, self._written, split_rule, duplicates,
                             tuple(self._faces), self._size)  # fmt: skip

    def _write_properties(self) -> None:
        columns = list(dict.fromkeys(column for row in self._properties.values() for column in row))
        if columns:
            rows = [[file, *(row.get(column, "") for column in columns)] for file, row in self._properties.items()]
            write_csv(self.out / FACES_FILE, ["file", *columns], rows)

    def _find_duplicates(self) -> dict[tuple[Split, Split], int]:
        digests = {split: {face.digest for face in self._faces if face.split == split} for split in SPLITS}
        found = {
            (one, other): sum(face.split == one and face.digest in digests[other] for face in self._faces)
            for one, other in combinations(SPLITS, 2)
        }
        return {pair: count for pair, count in found.items() if count}


def _describe(file: str, split: Split, label: str, image: Image, person: str, digest: bytes) -> PreparedFace:
    height, width = image.shape[:2]
    small = model_input(image, size_hw=(SHARPNESS_SIDE, SHARPNESS_SIDE), colour="grey")
    sharpness = float(cv2.Laplacian(small, cv2.CV_32F).std())
    first, second = perceptual_hash(image).tolist()
    return PreparedFace(file, split, label, width, height, sharpness, person, digest, (first, second))


@contextlib.contextmanager
def open_writer(
    out: Path, identity: Identity, default_label_mode: LabelMode, size: int | None = None
) -> Iterator[DataWriter]:
    """Open a data folder for writing, new or from an interrupted preparation of the same data set.

    A new folder in which no face was written is removed, so that it does not block another attempt. The arguments are
    those of `DataWriter`.

    Raises:
        ConfigError: The size is out of range.
        DataError: The folder contains other data.
        RunError: The folder cannot be written.
    """
    check_size(size)
    created = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        _initialize_folder(out, {**identity.to_mapping(), "size": size})
        writer = DataWriter(out, identity, default_label_mode, size)
        try:
            yield writer
        finally:
            if writer.is_empty and _has_no_faces(out):
                _remove(out, created)
    except OSError as error:
        raise RunError(f"cannot write the data folder {shown_path(out)}: {error.strerror or error}") from error


def _initialize_folder(out: Path, info: dict[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    path = out / DATASET_FILE
    if path.is_file():
        old: Any = None
        with contextlib.suppress(ValueError):
            old = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(old, dict) and not _has_no_faces(out):
            if any(old.get(key) != value for key, value in info.items()):
                raise DataError(
                    f"{shown_path(out)} already contains a different data set, classes or splits, or faces of "
                    "another size: choose another `out` folder"
                )
            return
    elif any(out.iterdir()):
        raise DataError(f"{shown_path(out)} is not empty and contains no prepared data: choose another `out` folder")
    write_json(path, {**info, "complete": False})


def _has_no_faces(out: Path) -> bool:
    return {path.name for path in out.iterdir()} <= {DATASET_FILE, *TABLE_FILES}


def _remove(out: Path, created: Iterable[Path]) -> None:
    """Remove the files of a data folder without faces, and the folders that were created for it."""
    for name in (DATASET_FILE, *TABLE_FILES):
        (out / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        for folder in created:
            folder.rmdir()
