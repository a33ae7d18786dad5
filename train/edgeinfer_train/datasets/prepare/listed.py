"""Faces that a table lists with their labels: the common part of the readers of such data sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from edgeinfer.errors import path_text
from edgeinfer_train.datasets.layout import SPLITS, VOTES_FILE, Split
from edgeinfer_train.datasets.prepare.files import write_csv
from edgeinfer_train.datasets.prepare.report import (
    AS_PUBLISHED,
    DecodedFace,
    PrepareReport,
    Progress,
    Reason,
    Skipped,
    nothing_usable,
)
from edgeinfer_train.datasets.prepare.splitting import with_validation
from edgeinfer_train.datasets.prepare.tree import MAX_NAME_BYTES, FileTree, load_face
from edgeinfer_train.datasets.prepare.writing import Identity, check_classes, one_label_identity, open_writer
from edgeinfer_train.labels import LabelMode

Crop = Callable[[DecodedFace, "ListedFace"], DecodedFace]


@dataclass(frozen=True, slots=True)
class ListedFace:
    """One face of a table.

    Attributes:
        path: Path of the image inside the source.
        label: Label of the face.
        split: Split that the source names, or None.
        properties: Values for the row in faces.csv, by column.
        votes: Votes for each label, or empty.
        box_xywh: Face in the image in pixels, or None for the whole image.
        name: File name in the data folder; "" for that of the image.
    """

    path: str
    label: str
    split: Split | None
    properties: Mapping[str, str] = field(default_factory=dict)
    votes: tuple[float, ...] = ()
    box_xywh: tuple[int, int, int, int] | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """All faces of a source.

    Attributes:
        name: Name of the data set.
        labels: Labels, in order.
        faces: Usable faces.
        skipped: Rows and files that are not used.
        seed: Seed of a validation split.
        label_mode: Default label mode.
        size: Side in pixels to which faces are scaled, or None.
        vote_columns: Columns of the votes; empty for the labels.
        split_rule: Human-readable origin of the splits that the source names.
        fingerprint: Digest that identifies the content of the faces, or "".
    """

    name: str
    labels: tuple[str, ...]
    faces: Sequence[ListedFace]
    skipped: Sequence[Skipped]
    seed: int
    label_mode: LabelMode = "argmax"
    size: int | None = None
    vote_columns: tuple[str, ...] = ()
    split_rule: str = AS_PUBLISHED
    fingerprint: str = ""

    def identity(self) -> Identity:
        """Return the identity of the data set from the paths, labels, splits and votes of its faces."""
        described = [f"{f.split}/{f.label}/{f.path} {f.votes} {f.box_xywh}" for f in self.faces]
        one_label = one_label_identity(self.name, self.labels, [*described, *filter(None, [self.fingerprint])])
        return replace(one_label, label_mode="argmax over votes") if any(f.votes for f in self.faces) else one_label


def prepare_listed(
    tree: FileTree, source: Path, out: Path, listing: Listing, progress: Progress | None, crop: Crop | None = None
) -> PrepareReport:
    """Write the faces of a listing into a data folder.

    Args:
        tree: File tree of the source.
        source: Source for error messages.
        out: Data folder to write.
        listing: Faces and labels.
        progress: Callback with the arguments (faces done, total faces).
        crop: Function that cuts a face out of its decoded image, or None to copy the image files unchanged.

    Raises:
        DataError: No face is usable, training faces have fewer than two classes, or `out` has other data.
        RunError: `out` cannot be written.
    """
    if not listing.faces:
        raise nothing_usable(listing.skipped)
    persons = [face.properties.get("person", "") for face in listing.faces]
    splits, rule = with_validation(
        [face.split or "train" for face in listing.faces],
        [face.label for face in listing.faces],
        seed=listing.seed,
        persons=[p or f.path for p, f in zip(persons, listing.faces, strict=True)] if any(persons) else (),
    )
    check_classes([f.label for f, split in zip(listing.faces, splits, strict=True) if split == "train"], source)
    votes: list[list[object]] = []
    with open_writer(out, listing.identity(), listing.label_mode, listing.size) as writer:
        writer.skipped.extend([*tree.skipped, *listing.skipped])
        names = unique_names(listing.faces)
        for done, (face, split, name) in enumerate(zip(listing.faces, splits, names, strict=True), start=1):
            image = _load(tree, face, name, crop)
            if isinstance(image, str):
                writer.skipped.append(Skipped(split, face.path, image))
            else:
                file = writer.add(split, face.label, name, image, face.properties)
                votes += [[file, *(f"{count:g}" for count in face.votes)]] if face.votes else []
            if progress:
                progress(done, len(listing.faces))
        if votes and not writer.is_empty:
            write_csv(out / VOTES_FILE, ["file", *(listing.vote_columns or listing.labels)], votes)
        rule = listing.split_rule if rule == AS_PUBLISHED else rule
        return writer.finish([split for split in SPLITS if split not in splits], split_rule=rule)


def unique_names(faces: Sequence[ListedFace]) -> list[str]:
    """Return file names without duplicates: the path, with _ for /, of images whose name occurs more than once."""
    names = [face.name or PurePosixPath(face.path).name for face in faces]
    counts = Counter(names)
    return [name if counts[name] == 1 else face.path.replace("/", "_") for name, face in zip(names, faces, strict=True)]


def _load(tree: FileTree, face: ListedFace, name: str, crop: Crop | None) -> DecodedFace | Reason:
    if face.path not in tree.files:
        return "missing image"
    if len(path_text(name).encode()) > MAX_NAME_BYTES:
        return "name too long"
    image = load_face(tree, face.path)
    return image if isinstance(image, str) or crop is None else crop(image, face)
