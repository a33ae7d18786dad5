"""Merging of prepared data folders into one, without faces that occur twice."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from statistics import median
from typing import IO

import numpy as np
from numpy.typing import NDArray

from edgeinfer_train.datasets.grouping import find_copies, perceptual_hash
from edgeinfer_train.datasets.layout import SIZE_RANGE, SPLITS, VOTES_FILE
from edgeinfer_train.datasets.load import (
    DatasetInfo,
    pixel_digest,
    present_splits,
    read_info,
    read_properties,
    split_files,
)
from edgeinfer_train.datasets.prepare.label_map import DROPPED, LabelMap, map_labels, read_label_map
from edgeinfer_train.datasets.prepare.listed import ListedFace, Listing, prepare_listed
from edgeinfer_train.datasets.prepare.report import (
    DecodedFace,
    PrepareReport,
    Progress,
    Reason,
    Skipped,
    nothing_usable,
)
from edgeinfer_train.datasets.prepare.tree import load_face
from edgeinfer_train.datasets.votes import Votes, read_votes, without_single_votes
from edgeinfer_train.errors import ConfigError, DataError
from edgeinfer_train.labels import LabelMode

OTHER_VOTES = "other/none"
"""Column of the votes for labels that the merged set lacks; no label can have this name."""
SPLIT_RULE = "as in the merged sets"


@dataclass(frozen=True, slots=True)
class _Set:
    """Prepared data folder."""

    folder: Path
    info: DatasetInfo
    votes: Votes | None


class _Sets:
    """Prepared data folders as one file tree, each below its name."""

    def __init__(self, sets: dict[str, _Set]) -> None:
        self._sets, self.skipped = sets, list[Skipped]()
        self.files: dict[str, int] = {}

    def open(self, name: str) -> IO[bytes]:
        return self.path(name).open("rb")

    def path(self, name: str) -> Path:
        first, _, file = name.partition("/")
        return self._sets[first].folder / file


@dataclass(frozen=True, slots=True)
class _Measured:
    """Face with its place in the order of the sets, and the digest, hash and size of its pixels."""

    face: ListedFace
    part: int
    digest: bytes
    hash: NDArray[np.uint64]
    size_hw: tuple[int, int]


def prepare_merged(
    sources: Sequence[Path],
    out: Path,
    *,
    label_map: Path | None = None,
    label_mode: LabelMode | None = None,
    seed: int = 0,
    size: int | None = None,
    progress: Progress | None = None,
) -> PrepareReport:
    """Merge prepared data folders, with their splits, votes, persons, valence and arousal.

    Of faces with the same pixels, one is kept, and so is one of near-identical faces (see `find_copies`) in different
    sets or splits. Test faces are preferred to validation faces, these to training faces, and earlier sets to later
    ones; removed faces with another label are counted separately. Faces of different sizes are scaled to one size. A
    face of a set without votes has one vote if another set has votes. Persons with the same name count as one person.

    Args:
        sources: Prepared data folders. The first one determines the labels.
        out: Data folder to write.
        label_map: TOML file that renames or drops labels, see `read_label_map`.
        label_mode: Default label mode of the merged set; None uses that of the first set with votes.
        seed: Seed of the validation split, if no set has one.
        size: Side in pixels to which faces are scaled. None keeps their size, or if they have different ones, uses the
            median of their shorter sides.
        progress: Callback with the arguments (faces done, total faces); each face is read twice.

    Raises:
        ConfigError: The label map is invalid.
        DataError: A folder is not prepared, a label has no target, the label mode needs votes, no face remains, or
            `out` contains a different data set.
        RunError: `out` cannot be written.
    """
    if not sources:
        raise ConfigError("merge needs at least one prepared data folder")
    sets = {name: _read_set(folder) for name, folder in zip(_names(sources), sources, strict=True)}
    mapping = LabelMap() if label_map is None else read_label_map(label_map)
    labels, targets = map_labels({name: each.info.labels for name, each in sets.items()}, mapping)
    mode, voted = _label_mode(sets, label_mode), any(each.votes for each in sets.values())
    tree = _Sets(sets)
    faces = [face for name in sets for face in _faces(name, sets[name], targets[name], labels, voted=voted)]
    skipped = [Skipped(f.split or "", f.path, "other class") for f in faces if f.label == DROPPED]
    measured, unreadable = _measure(tree, [f for f in faces if f.label != DROPPED], list(sets), progress)
    kept, copies = _without_copies(measured)
    skipped += [*unreadable, *copies]
    if not kept:
        raise nothing_usable(skipped)
    name = " + ".join(dict.fromkeys(each.info.name for each in sets.values()))
    listing = Listing(
        name, labels, [m.face for m in kept], skipped, seed, mode, size or _common_size(kept),
        vote_columns=(*labels, OTHER_VOTES), split_rule=SPLIT_RULE,
        fingerprint=hashlib.sha256(b"".join(m.digest for m in kept)).hexdigest(),
    )  # fmt: skip
    return prepare_listed(tree, Path(name), out, listing, _second_half(progress, len(measured)))


def _names(sources: Sequence[Path]) -> list[str]:
    """Return a unique name for each folder: its own, with a number appended if an earlier folder has it."""
    names: list[str] = []
    for source in sources:
        name = source.resolve().name
        numbered = (f"{name}-{number}" for number in count(2))
        names.append(next(each for each in chain([name], numbered) if each not in names))
    return names


def _read_set(folder: Path) -> _Set:
    info = read_info(folder)
    return _Set(folder, info, read_votes(folder) if (folder / VOTES_FILE).is_file() else None)


def _label_mode(sets: Mapping[str, _Set], wanted: LabelMode | None) -> LabelMode:
    """Return the default label mode of the merged set."""
    modes = [each.info.default_label_mode for each in sets.values() if each.votes]
    if wanted not in (None, "argmax") and not modes:
        raise DataError("the merged sets have one label per face and no votes: set `label_mode` to argmax")
    return wanted or (modes[0] if modes else "argmax")


def _faces(
    name: str, source: _Set, targets: dict[str, str], labels: tuple[str, ...], *, voted: bool
) -> Iterator[ListedFace]:
    """Yield the faces of one set with their new labels, `DROPPED` for those to leave out."""
    properties, own = read_properties(source.folder), source.info.labels
    for split in present_splits(source.folder, own):
        for file, position in split_files(source.folder, split, own):
            label = targets[own[position]]
            votes = _mapped_votes(source.votes, file, label, targets, labels) if voted and label else ()
            if votes and max(votes[:-1]) > votes[labels.index(label)]:
                label = labels[int(np.argmax(votes[:-1]))]
            yield ListedFace(f"{name}/{file}", label, split, properties.get(file, {}), votes)


def _mapped_votes(
    votes: Votes | None, file: str, label: str, targets: dict[str, str], labels: tuple[str, ...]
) -> tuple[float, ...]:
    """Return the votes for each label of the merged set and for all others; one vote for a face without votes."""
    counts = dict.fromkeys((*labels, OTHER_VOTES), 0.0)
    given = None if votes is None else votes.by_file.get(file)
    if votes is not None and given is not None:
        trusted = without_single_votes(given[None])[0] if votes.ignores_single else given
        for column, count in zip(votes.columns, trusted.tolist(), strict=True):
            counts[targets.get(column) or OTHER_VOTES] += count
    if not counts[label]:
        counts[label] = 1.0
    return tuple(counts.values())


def _measure(
    tree: _Sets, faces: Sequence[ListedFace], names: Sequence[str], progress: Progress | None
) -> tuple[list[_Measured], list[Skipped]]:
    measured: list[_Measured] = []
    unreadable: list[Skipped] = []
    for done, face in enumerate(faces, start=1):
        image: DecodedFace | Reason = "unreadable file"
        with contextlib.suppress(OSError):
            tree.files[face.path] = tree.path(face.path).stat().st_size
            image = load_face(tree, face.path)
        if isinstance(image, str):
            unreadable.append(Skipped(face.split or "", face.path, image))
        else:
            pixels = image.image
            part = names.index(face.path.partition("/")[0]) * len(SPLITS) + SPLITS.index(face.split or "train")
            height, width = pixels.shape[:2]
            measured.append(_Measured(face, part, pixel_digest(pixels), perceptual_hash(pixels), (height, width)))
        if progress:
            progress(done, 2 * len(faces))
    return measured, unreadable


def _without_copies(measured: Sequence[_Measured]) -> tuple[list[_Measured], list[Skipped]]:
    """Return the faces to keep, in the given order, and the copies of these."""
    ordered = sorted(measured, key=lambda m: (-(m.part % len(SPLITS)), m.part))
    first: dict[bytes, _Measured] = {}
    original_of: list[tuple[_Measured, _Measured]] = []
    for one in ordered:
        if first.setdefault(one.digest, one) is not one:
            original_of.append((one, first[one.digest]))
    unique = list(first.values())
    hashes = np.array([m.hash for m in unique], np.uint64).reshape(-1, 2)
    originals = find_copies(hashes, np.array([m.part for m in unique], np.int64)).tolist()
    original_of += [(unique[i], unique[original]) for i, original in enumerate(originals) if original >= 0]
    removed = {one.face.path for one, _ in original_of}
    copies = [
        Skipped(one.face.split or "", one.face.path,
                "duplicate face" if one.face.label == other.face.label else "duplicate with another label")
        for one, other in original_of
    ]  # fmt: skip
    return [m for m in measured if m.face.path not in removed], copies


def _common_size(faces: Sequence[_Measured]) -> int | None:
    """Return the median of the shorter sides of faces that have different sizes, else None."""
    if len({m.size_hw for m in faces}) == 1:
        return None
    side = median(min(m.size_hw) for m in faces)
    return int(min(max(side, SIZE_RANGE[0]), SIZE_RANGE[1]))


def _second_half(progress: Progress | None, before: int) -> Progress | None:
    return progress and (lambda done, total: progress(before + done, before + total))
