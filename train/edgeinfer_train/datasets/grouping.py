"""Groups of faces that belong on the same side of a split: faces of one person, or near-identical pictures."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeinfer.pixels import in_grey
from edgeinfer.results import Image
from edgeinfer_train.errors import ConfigError, DataError

GroupSource = Literal["regex", "table", "names", "pixels"]

TRACK_NAME = r"^(?P<person>.+_t\d+)_f\d+_c\d+"
"""File names written by `edgeinfer-train label`; a track is one visit of one face."""
PREFIX_NAME = r"^(?P<person>[^\W_]+)[_.-]"
"""File names such as S010_004_00000017.png (CK+), KA.AN1.39.tiff (JAFFE) or anna-012.jpg."""
MIN_PERSONS = 3
MIN_FACES_PER_PERSON = 2.0
MIN_NAMED_SHARE = 0.9
MAX_PERSON_SHARE = 0.5
"""Conditions for persons in file names: more faces of one prefix are rather the name of a camera than of a person."""

MAX_HASH_DISTANCE = 12
"""Maximum number of different hash bits, of 120, of near-identical faces.

Of 1,000 FERPlus faces, 99 % differ from their JPEG of quality 50, their reduction to 32 pixels, or a copy with other
brightness or noise in at most 8 bits; 95 % of 6,000 faces differ from every other face in at least 20 bits.
"""
MAX_HASHED_FACES = 50_000
"""Maximum number of faces that are compared with each other; the time grows with the square, 50,000 take seconds."""
_HASH_SIDE, _HASH_TERMS, _BLOCK = 32, 11, 512


@dataclass(frozen=True, slots=True)
class FaceGroups:
    """Groups of N faces.

    Attributes:
        ids: (N,) int64 group of each face, numbered from 0 in the order of the first face.
        source: Origin of the groups: "regex", "table" and "names" are persons, "pixels" near-identical faces.
    """

    ids: NDArray[np.int64]
    source: GroupSource

    @property
    def count(self) -> int:
        """Number of groups."""
        return int(self.ids.max()) + 1 if len(self.ids) else 0

    @property
    def description(self) -> str:
        """Human-readable number and origin of the groups."""
        origins = {
            "regex": "persons by `group_regex`",
            "table": "persons by the data set's table",
            "names": "persons by file name",
            "pixels": "groups of near-identical faces by perceptual hash",
        }
        return f"{self.count:,} {origins[self.source]}"


def group_faces(
    images: Sequence[Image], names: Sequence[str], regex: str | None = None, persons: Sequence[str] = ()
) -> FaceGroups:
    """Group faces by person if a regular expression, a table or the file names give persons, else by similar pixels.

    Args:
        images: N faces of any size, (H, W) grey or (H, W, 3) BGR uint8.
        names: Paths of the N faces, with forward slashes. Persons are read from the last component. File names in
            which every prefix occurs in a single folder give no persons: they name classes.
        regex: Regular expression that is searched in each file name. Its group `person`, else its first group, else
            the whole match is the person. A face whose name does not match is a group of its own. None reads persons
            from common file names: those of `edgeinfer-train label`, and a prefix before the first `_`, `-` or `.`.
        persons: Person of each face by a table, used without `regex`; "" is a group of its own. Ignored if all are "".

    Returns:
        The groups.

    Raises:
        ConfigError: The regular expression is invalid.
        DataError: The regular expression matches no file name.

    Examples:
        >>> faces = [np.full((48, 48), level, np.uint8) for level in (0, 50, 100, 150, 200, 250)]
        >>> names = ["anna_1.png", "ben_1.png", "anna_2.png", "carl_1.png", "carl_2.png", "ben_2.png"]
        >>> groups = group_faces(faces, names)
        >>> groups.ids.tolist(), groups.description
        ([0, 1, 0, 2, 2, 1], '3 persons by file name')
    """
    if regex is not None:
        return FaceGroups(_numbered(persons_by_regex(names, regex)), "regex")
    if any(persons):
        return FaceGroups(_numbered([person or None for person in persons]), "table")
    named = persons_by_name(names)
    if named is not None:
        return FaceGroups(_numbered(named), "names")
    return FaceGroups(group_copies(images), "pixels")


def persons_by_regex(names: Sequence[str], regex: str) -> list[str | None]:
    """Return the person of each file name by a regular expression, None for names without one; see `group_faces`.

    Raises:
        ConfigError: The regular expression is invalid.
        DataError: The regular expression matches no file name.
    """
    found = _persons(names, _compiled(regex))
    if names and not any(found):
        raise DataError(f"`group_regex` {regex!r} matches no file name, such as {PurePosixPath(names[0]).name!r}")
    return found


def persons_by_name(names: Sequence[str]) -> list[str | None] | None:
    """Return the person of each file name, None for single names without one; or None if the names give no persons."""
    for pattern in (TRACK_NAME, PREFIX_NAME):
        persons = _persons(names, re.compile(pattern))
        if _are_plausible(persons, names):
            return persons
    return None


def group_copies(images: Iterable[Image], *, distance: int = MAX_HASH_DISTANCE) -> NDArray[np.int64]:
    """Group near-identical faces: copies in another size, encoding, brightness or with noise.

    Args:
        images: N faces of any size, (H, W) grey or (H, W, 3) BGR uint8.
        distance: Maximum number of different hash bits. Above `MAX_HASHED_FACES` faces, only equal hashes are grouped.

    Returns:
        (N,) int64 group of each face, numbered from 0 in the order of the first face.
    """
    return group_hashes(np.array([perceptual_hash(image) for image in images], np.uint64).reshape(-1, 2), distance)


def group_hashes(hashes: NDArray[np.uint64], distance: int = MAX_HASH_DISTANCE) -> NDArray[np.int64]:
    """Group (N, 2) perceptual hashes; see `group_copies`."""
    _, first, inverse = np.unique(hashes, axis=0, return_index=True, return_inverse=True)
    parents = list(range(len(first)))
    if len(hashes) <= MAX_HASHED_FACES:
        for one, other in _close_pairs(hashes[first], distance):
            parents[_root(parents, one)] = _root(parents, other)
    return _numbered([str(_root(parents, position)) for position in inverse.reshape(-1).tolist()])


def find_copies(
    hashes: NDArray[np.uint64], parts: NDArray[np.int64], distance: int = MAX_HASH_DISTANCE
) -> NDArray[np.int64]:
    """Find near-identical faces in different parts of a collection, such as data sets and splits.

    Faces of one part may be similar: they can be frames of one clip.

    Args:
        hashes: (N, 2) perceptual hashes. Of two similar faces, the later one is the copy.
        parts: (N,) part of each face.
        distance: Maximum number of different hash bits.

    Returns:
        (N,) position of a face of another part of which each face is a copy and which is not a copy itself, or -1.
    """
    originals = np.full(len(hashes), -1, np.int64)
    first, second = np.ascontiguousarray(hashes[:, 0]), np.ascontiguousarray(hashes[:, 1])
    for i in range(1, len(hashes)):
        different = np.bitwise_count(first[:i] ^ first[i])
        near = np.flatnonzero(different <= distance)
        close = different[near] + np.bitwise_count(second[near] ^ second[i]) <= distance
        found = near[close & (originals[near] < 0) & (parts[near] != parts[i])]
        if len(found):
            originals[i] = found[0]
    return originals


def perceptual_hash(image: Image) -> NDArray[np.uint64]:
    """Return 120 bits that describe the coarse structure of a face.

    The bits are the signs, relative to their median, of the lowest 11x11 coefficients but the mean of the discrete
    cosine transform at 32x32 pixels (Zauner 2010, "Implementation and benchmarking of perceptual image hash
    functions", with more coefficients than its 8x8).

    Args:
        image: (H, W) grey or (H, W, 3) BGR uint8.

    Returns:
        (2,) uint64.
    """
    small = cv2.resize(in_grey(image), (_HASH_SIDE, _HASH_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    terms = np.asarray(cv2.dct(small))[:_HASH_TERMS, :_HASH_TERMS].ravel()[1:]
    return np.packbits(np.append(terms > np.median(terms), [False] * 8)).view(np.uint64)


def _compiled(regex: str) -> re.Pattern[str]:
    try:
        return re.compile(regex)
    except re.error as error:
        raise ConfigError(f"invalid `group_regex` {regex!r}: {error}") from error


def _persons(names: Sequence[str], pattern: re.Pattern[str]) -> list[str | None]:
    persons = []
    for name in names:
        match = pattern.search(PurePosixPath(name).name)
        group: int | str = "person" if "person" in pattern.groupindex else min(pattern.groups, 1)
        persons.append(match[group] or None if match else None)
    return persons


def _are_plausible(persons: Sequence[str | None], names: Sequence[str]) -> bool:
    counts = Counter(person for person in persons if person)
    named = counts.total()
    if len(counts) < MIN_PERSONS or named < MIN_NAMED_SHARE * len(names):
        return False
    if named < MIN_FACES_PER_PERSON * len(counts) or max(counts.values()) > MAX_PERSON_SHARE * named:
        return False
    folders: dict[str, set[str]] = defaultdict(set)
    for person, name in zip(persons, names, strict=True):
        folders[person or ""].add(PurePosixPath(name).parent.name)
    every_folder = set.union(*folders.values())
    return len(every_folder) == 1 or any(len(each) > 1 for each in folders.values())


def _numbered(keys: Sequence[str | None]) -> NDArray[np.int64]:
    """Number keys in the order of their first occurrence; every None has a number of its own."""
    numbers: dict[str | int, int] = {}
    found = [numbers.setdefault(i if key is None else key, len(numbers)) for i, key in enumerate(keys)]
    return np.array(found, np.int64)


def _close_pairs(hashes: NDArray[np.uint64], distance: int) -> Iterator[tuple[int, int]]:
    """Yield the positions of all pairs of (N, 2) hashes that differ in at most `distance` bits."""
    for start in range(0, len(hashes), _BLOCK):
        block = hashes[start : start + _BLOCK]
        different = np.bitwise_count(block[:, None, 0] ^ hashes[None, start:, 0])
        different += np.bitwise_count(block[:, None, 1] ^ hashes[None, start:, 1])
        for one, other in np.argwhere(different <= distance).tolist():
            if one < other:
                yield start + one, start + other


def _root(parents: list[int], position: int) -> int:
    while parents[position] != position:
        parents[position] = parents[parents[position]]
        position = parents[position]
    return position
