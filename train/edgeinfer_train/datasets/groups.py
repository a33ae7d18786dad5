"""Groups of faces that must not be split between training and validation: one person, or near-duplicates."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeinfer_train.errors import DataError
from edgeinfer_train.labels import canonical_label

HASH_SIDE = 16
NEAR_SHARE = 0.08
"""Largest share of differing bits of two near-duplicates. On 6,000 faces of FERPlus, 2 % more than the exact copies
are that close to another face; two faces of different people differ in about half of the bits."""
MIN_PERSONS, MIN_FACES_PER_PERSON, MAX_PERSON_SHARE = 4, 2.0, 0.5
PERSON = re.compile(r"(.+?)[ _.-]+.*\d")
"""A name whose part before the first separator may identify a person, as in `anna_012.png` or `S010_004_0017.png`."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Assignment of faces to groups.

    Attributes:
        ids: (N,) group of each face.
        kind: Plural noun for a sentence: "persons" or "near-duplicates".
    """

    ids: NDArray[np.int64]
    kind: str

    @property
    def count(self) -> int:
        """Number of groups."""
        return len(set(self.ids.tolist()))


def find_groups(names: Sequence[str], images: NDArray[np.uint8], labels: Sequence[str], regex: str = "") -> Groups:
    """Group faces by person if the file names identify persons, else by a perceptual hash.

    Args:
        names: N paths of the faces.
        images: (N, H, W, C) uint8.
        labels: Labels of the data set, which do not identify persons.
        regex: Regular expression whose first group, or match, is the person; "" derives persons from the names.

    Raises:
        DataError: The expression matches no name, or the same text in all of them.
    """
    persons = _persons_by_regex(names, regex) if regex else _persons_by_name(names, labels)
    if persons is None:
        return Groups(near_duplicates(images), "near-duplicates")
    return Groups(np.unique(np.array(persons), return_inverse=True)[1].astype(np.int64), "persons")


def _persons_by_regex(names: Sequence[str], regex: str) -> list[str]:
    matches = [re.search(regex, PurePosixPath(name).name) for name in names]
    missed = [name for name, match in zip(names, matches, strict=True) if match is None]
    if missed:
        raise DataError(
            f"`group_regex` does not match {len(missed):,} of the {len(names):,} file names, for example "
            f"{PurePosixPath(missed[0]).name}: correct the expression"
        )
    persons = [(match.group(1) if match.re.groups else match.group()) or "" for match in matches if match]
    if len(set(persons)) < 2:
        raise DataError(f"`group_regex` finds the same person, {persons[0]!r}, in all file names: correct it")
    return persons


def _persons_by_name(names: Sequence[str], labels: Sequence[str]) -> list[str] | None:
    matches = [PERSON.fullmatch(PurePosixPath(name).stem) for name in names]
    persons = [match.group(1) for match in matches if match]
    counts = Counter(persons)
    taken = {canonical_label(label) for label in labels}
    plausible = (
        len(persons) == len(names)
        and len(counts) >= MIN_PERSONS
        and len(names) >= MIN_FACES_PER_PERSON * len(counts)
        and max(counts.values()) <= MAX_PERSON_SHARE * len(names)
        and not any(canonical_label(person) in taken for person in counts)
    )
    return persons if plausible else None


def near_duplicates(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Group images whose difference hashes are almost equal, directly or through other images.

    The hash has one bit per pixel of a 16x16 thumbnail: 1 if its right neighbour is brighter (dHash, Krawetz 2013).

    Args:
        images: (N, H, W, C) uint8.

    Returns:
        (N,) group of each image.
    """
    grey = images.mean(axis=3).astype(np.uint8)
    small = np.stack([cv2.resize(g, (HASH_SIDE + 1, HASH_SIDE), interpolation=cv2.INTER_AREA) for g in grey])
    signs = np.where(small[:, :, 1:] > small[:, :, :-1], 1.0, -1.0).reshape(len(images), -1).astype(np.float32)
    least = signs.shape[1] * (1 - 2 * NEAR_SHARE)  # the product of two hashes is bits minus twice the differing ones
    ids: NDArray[np.int64] = np.arange(len(images))
    for start in range(0, len(images), 1024):
        for near in signs[start : start + 1024] @ signs.T >= least:
            others = np.unique(ids[np.flatnonzero(near)])
            if len(others) > 1:
                ids[np.isin(ids, others)] = others[0]
    return ids


def straddling(groups: Groups, in_valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask of the faces whose group has faces in training and in validation.

    Args:
        groups: Groups of N faces.
        in_valid: (N,) True for validation faces.
    """
    both = set(groups.ids[in_valid].tolist()) & set(groups.ids[~in_valid].tolist())
    return np.isin(groups.ids, list(both))
