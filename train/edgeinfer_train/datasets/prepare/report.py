"""Report of a preparation: prepared faces, counts, and skipped items with the reasons. All layouts use this module."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from edgeinfer.errors import shown_path
from edgeinfer.results import Image
from edgeinfer_train.datasets.layout import Split
from edgeinfer_train.errors import DataError

Reason = Literal[
    "no name", "duplicate name", "missing value", "unknown split", "split absent", "missing image", "not an image",
    "no class", "no subject", "unreadable image", "unknown code", "wrong number of pixels", "unknown", "not a face",
    "contempt", "too large", "name too long", "path outside the archive", "encrypted", "link in the archive",
    "unsupported compression", "link loop", "broken link", "not a file", "unreadable file", "unreadable folder",
    "unreadable row", "other class", "no label", "uncertain", "removed by correction", "duplicate face",
    "duplicate with another label",
]  # fmt: skip
Progress = Callable[[int, int], None]
"""Callback with the arguments (done, total), in rows or files."""

AS_PUBLISHED = "as published"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row or image that was not used, with the reason."""

    split: str
    name: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class DecodedFace:
    """Image file in memory.

    Attributes:
        content: Encoded image.
        image: Decoded pixels.
    """

    content: bytes
    image: Image


@dataclass(frozen=True, slots=True)
class PreparedFace:
    """One face of a data folder.

    Attributes:
        file: Path relative to the data folder.
        split: Split of the face.
        label: Label of the face.
        width: Width in pixels, before it was scaled.
        height: Height in pixels, before it was scaled.
        sharpness: Standard deviation of the Laplacian at 48x48 pixels, in grey levels; low for blurred faces.
        person: Person, or "" if the source names none.
        digest: Digest of the pixels in the file.
        perceptual_hash: See `perceptual_hash`.
    """

    file: str
    split: Split
    label: str
    width: int
    height: int
    sharpness: float
    person: str
    digest: bytes
    perceptual_hash: tuple[int, int]


@dataclass(frozen=True, slots=True)
class PrepareReport:
    """Result of a preparation.

    Attributes:
        labels: Class folders, in order.
        counts: Number of faces by split and label, zeros included.
        skipped: Rows and images that were not used.
        absent: Splits that the data folder lacks.
        written: Number of files that did not exist before.
        split_rule: Human-readable origin of the splits.
        duplicates: For two splits, the number of faces in the first with the same pixels as a face in the second.
        faces: All faces.
        size: Side in pixels to which the faces were scaled, or None.
    """

    labels: tuple[str, ...]
    counts: dict[Split, dict[str, int]]
    skipped: tuple[Skipped, ...]
    absent: tuple[Split, ...]
    written: int
    split_rule: str = AS_PUBLISHED
    duplicates: dict[tuple[Split, Split], int] = field(default_factory=dict)
    faces: tuple[PreparedFace, ...] = ()
    size: int | None = None

    @property
    def empty_labels(self) -> tuple[str, ...]:
        """Labels without faces in all splits."""
        return tuple(name for name in self.labels if not any(c[name] for c in self.counts.values()))

    def skipped_by_reason(self) -> dict[Reason, list[str]]:
        """Return the names of skipped rows and images by reason, in the order of the source."""
        found: dict[Reason, list[str]] = {}
        for row in self.skipped:
            found.setdefault(row.reason, []).append(row.name)
        return found

    def samples(self, count: int) -> dict[str, list[PreparedFace]]:
        """Return up to `count` faces of each label, spaced evenly over its faces."""
        found: dict[str, list[PreparedFace]] = {label: [] for label in self.labels}
        for face in self.faces:
            found[face.label].append(face)
        return {
            label: [faces[int(i * max(len(faces) / count, 1))] for i in range(min(count, len(faces)))]
            for label, faces in found.items()
        }


def persons_in_several_splits(faces: Iterable[tuple[str, Split]]) -> int:
    """Count the persons with faces in more than one split.

    Args:
        faces: Person, or "" if it is unknown, and split of each face.
    """
    splits: dict[str, set[Split]] = defaultdict(set)
    for person, split in faces:
        splits[person].add(split)
    return sum(len(found) > 1 for person, found in splits.items() if person)


def nothing_usable(skipped: Iterable[Skipped]) -> DataError:
    """Return the error for a source without a usable face, with the skipped rows or files by reason and an example."""
    counts: Counter[Reason] = Counter()
    examples: dict[Reason, str] = {}
    for row in skipped:
        counts[row.reason] += 1
        examples.setdefault(row.reason, f", such as {shown_path(row.name)}" if row.name else "")
    reasons = ", ".join(f"{n:,} with the reason {reason!r}{examples[reason]}" for reason, n in counts.most_common())
    return DataError(f"the source contains no usable face; skipped: {reasons or 'nothing'}")
