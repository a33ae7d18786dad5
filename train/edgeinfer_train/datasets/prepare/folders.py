"""Images in class folders, with or without splits. Other layouts with class folders use this module too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from edgeinfer.errors import path_text, shown_path
from edgeinfer_train.datasets.load import IMAGE_SUFFIXES, SPLITS, Split
from edgeinfer_train.datasets.prepare.splitting import split_of, with_validation
from edgeinfer_train.datasets.prepare.tree import FileTree, is_visible, load_face, open_tree
from edgeinfer_train.datasets.prepare.writing import (
    DataWriter,
    Identity,
    PrepareReport,
    Progress,
    Reason,
    Skipped,
    check_classes,
    nothing_usable,
    one_label_identity,
    open_writer,
)
from edgeinfer_train.errors import DataError
from edgeinfer_train.labels import EIGHT_LABELS, SYNONYMS, label_of

SHOWN_CLASSES = 10
"""Number of unknown classes that a message names."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One image in a class folder.

    Attributes:
        path: Path inside the source.
        size: File size in bytes.
        split: Split named by the folder above the class folder, or None.
        label: Label of this package.
    """

    path: str
    size: int
    split: Split | None
    label: str

    @property
    def name(self) -> str:
        """File name."""
        return PurePosixPath(self.path).name


def prepare_folder(
    source: Path, out: Path, *, classes: Literal[7, 8] = 7, seed: int = 0, progress: Progress | None = None
) -> PrepareReport:
    """Prepare class folders of images of any size.

    Without a validation split, a stratified 20 % of the training faces becomes the validation split. A second call
    with the same folder completes an interrupted one and rewrites nothing.

    Args:
        source: Folder or .zip with `<class>/<image>`, or `<split>/<class>/<image>`, at any depth.
        out: Data folder to write.
        classes: Number of labels; 8 includes contempt.
        seed: Seed of the validation split.
        progress: Callback with the arguments (files done, total files).

    Raises:
        DataError: The source is missing or has an unexpected layout, an unknown class, or training faces of fewer than
            two classes; or `out` contains a different data set.
        RunError: `out` cannot be written.
    """
    name = path_text(source.resolve().stem)
    with open_tree(source) as tree:
        return prepare_tree(tree, source, out, name=name, classes=classes, seed=seed, progress=progress)


def prepare_tree(
    tree: FileTree,
    source: Path,
    out: Path,
    *,
    name: str,
    classes: Literal[7, 8],
    seed: int,
    progress: Progress | None,
) -> PrepareReport:
    """Prepare class folders in an open file tree; see `prepare_folder`."""
    labels = EIGHT_LABELS[:classes]
    found, skipped = find_pictures(tree, labels, source)
    if any(picture.split for picture in found):
        skipped += [Skipped("", p.path, "unknown split") for p in found if p.split is None]
        found = [p for p in found if p.split is not None]
    splits, split_rule = with_validation([p.split or "train" for p in found], [p.label for p in found], seed=seed)
    pictures = [replace(p, split=split) for p, split in zip(found, splits, strict=True)]
    check_classes([p.label for p in pictures if p.split == "train"], source)
    with open_writer(out, tree_identity(name, labels, pictures), "argmax") as writer:
        write_pictures(tree, pictures, skipped, writer, progress)
        return writer.finish([split for split in SPLITS if split not in splits], split_rule=split_rule)


def find_pictures(tree: FileTree, labels: Sequence[str], source: Path) -> tuple[list[Picture], list[Skipped]]:
    """Find all images in class folders, and the files to skip.

    Args:
        tree: File tree of the source.
        labels: Labels to use.
        source: Source for error messages.

    Raises:
        DataError: A class folder has an unknown name, or no class folder contains an image.
    """
    found: dict[tuple[Split | None, str, str], Picture] = {}
    skipped = list(tree.skipped)
    unknown: set[str] = set()
    for path in sorted(filter(is_visible, tree.files), key=lambda p: (p.count("/"), p)):
        *_, above, folder, name = ("", "", *PurePosixPath(path).parts)
        label, split = label_of(folder), split_of(above)
        reason: Reason | None = None
        if label is None:
            if not _is_picture(name):
                continue
            if folder and split_of(folder) is None:
                unknown.add(folder)
            reason = "no class"
        elif label not in labels:
            reason = "contempt"
        elif not _is_picture(name):
            reason = "not an image"
        elif (split, label, path_text(name)) in found:
            reason = "duplicate name"
        else:
            found[split, label, path_text(name)] = Picture(path, tree.files[path], split, label)
        if reason:
            skipped.append(Skipped(split or "", path, reason))
    if unknown:
        known = ", ".join(name for names in SYNONYMS.values() for name in names)
        names = ", ".join(map(shown_path, sorted(unknown)[:SHOWN_CLASSES]))
        more = f" and {len(unknown) - SHOWN_CLASSES} more" if len(unknown) > SHOWN_CLASSES else ""
        raise DataError(f"{shown_path(source)} has folders of unknown classes: {names}{more}; expected {known}")
    if not found:
        details = f": {nothing_usable(skipped)}" if skipped else ""
        raise DataError(f"{shown_path(source)} has no images in class folders such as happy/ or train/happy/{details}")
    return list(found.values()), skipped


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def tree_identity(name: str, labels: tuple[str, ...], pictures: Sequence[Picture]) -> Identity:
    """Return the identity of a data set from the splits, labels, names and sizes of its images."""
    return one_label_identity(name, labels, (f"{p.split}/{p.label}/{p.name} {p.size}" for p in pictures))


def write_pictures(
    tree: FileTree,
    pictures: Sequence[Picture],
    skipped: Sequence[Skipped],
    writer: DataWriter,
    progress: Progress | None,
) -> dict[str, Picture]:
    """Copy image files unchanged into their class folders.

    Args:
        tree: File tree of the source.
        pictures: Images with splits.
        skipped: Files that were already skipped.
        writer: Writer of the data folder.
        progress: Callback with the arguments (files done, total files).

    Returns:
        The readable images, by path relative to the data folder.
    """
    writer.skipped.extend(skipped)
    written: dict[str, Picture] = {}
    for done, picture in enumerate(pictures, start=1):
        face = load_face(tree, picture.path)
        if isinstance(face, str):
            writer.skipped.append(Skipped(picture.split or "", picture.path, face))
        elif picture.split is not None:
            written[writer.add(picture.split, picture.label, picture.name, face)] = picture
        if progress:
            progress(done, len(pictures))
    return written
