"""Images in class folders, with or without splits. Other layouts with class folders use this module too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from edgeinfer.errors import path_text, shown_path
from edgeinfer_train.datasets.grouping import persons_by_name, persons_by_regex
from edgeinfer_train.datasets.layout import SPLITS
from edgeinfer_train.datasets.prepare.corrections import apply_corrections, read_corrections
from edgeinfer_train.datasets.prepare.own_table import prepare_table
from edgeinfer_train.datasets.prepare.pictures import Options, Picture, labels_of_source, list_pictures
from edgeinfer_train.datasets.prepare.report import PrepareReport, Progress, Skipped, nothing_usable
from edgeinfer_train.datasets.prepare.splitting import with_validation
from edgeinfer_train.datasets.prepare.tree import FileTree, load_face, open_tree
from edgeinfer_train.datasets.prepare.writing import (
    NO_PROPERTIES,
    DataWriter,
    Identity,
    check_classes,
    one_label_identity,
    open_writer,
)
from edgeinfer_train.errors import ConfigError, DataError
from edgeinfer_train.labels import EIGHT_LABELS, SYNONYMS, LabelMode, check_labels

SHOWN_CLASSES = 10
"""Number of unknown classes that a message names."""


def prepare_folder(
    source: Path,
    out: Path,
    *,
    classes: Literal[7, 8] | None = None,
    labels: Sequence[str] | None = None,
    group_regex: str | None = None,
    corrections: Path | None = None,
    label_mode: LabelMode | None = None,
    seed: int = 0,
    size: int | None = None,
    progress: Progress | None = None,
) -> PrepareReport:
    """Prepare class folders of images of any size, with any class names.

    Without a validation split, 20 % of the training faces becomes the validation split: whole persons if the file names
    give them, else the same share of every label. A second call with the same folder completes an interrupted one and
    rewrites nothing.

    Args:
        source: Folder or .zip with `<class>/<image>`, or `<split>/<class>/<image>`, at any depth; or a .csv file with
            the columns `path,label`, see `prepare_table`.
        out: Data folder to write.
        classes: Number of standard labels if all classes are standard ones, whether or not they have pictures; 8
            includes contempt. With None or any other class name, the labels are those of the source.
        labels: Labels to use, in this order; other classes are skipped. None uses all.
        group_regex: Regular expression for the person in a file name, see `group_faces`; None reads common names.
        corrections: Table with the columns `file,label` that replaces labels, see `edgeinfer-train label`; a face with
            an empty label is skipped.
        label_mode: Default label mode of a table with votes; None selects "votes".
        seed: Seed of the validation split.
        size: Side in pixels to which faces are scaled, or None to keep their size.
        progress: Callback with the arguments (files done, total files).

    Raises:
        ConfigError: The labels or the regular expression are invalid.
        DataError: The source is missing or has an unexpected layout, or training faces of fewer than two classes; the
            corrections do not match it; or `out` contains a different data set.
        RunError: `out` cannot be written.
    """
    wanted = None if labels is None else check_labels(labels)
    name = path_text(source.resolve().stem)
    if source.suffix.lower() == ".csv" and source.is_file():
        if corrections is not None:
            raise ConfigError("`corrections` applies to class folders: correct the labels in the table itself")
        options = Options(name, wanted, seed, group_regex, label_mode, size)
        return prepare_table(source, out, options, classes=classes, progress=progress)
    with open_tree(source) as tree:
        found, skipped = list_pictures(tree)
        corrected = {} if corrections is None else read_corrections(corrections)
        found, removed = apply_corrections(found, corrected, corrections)
        skipped += removed
        used = wanted or labels_of_source([p.label for p in found], classes)
        found, others = _with_labels(found, used)
        options = Options(name, used, seed, group_regex, size=size)
        return _prepare(tree, source, out, found, [*skipped, *others], options, progress)


def prepare_tree(tree: FileTree, source: Path, out: Path, options: Options, progress: Progress | None) -> PrepareReport:
    """Prepare standard class folders in an open file tree."""
    found, skipped = find_pictures(tree, options.labels or EIGHT_LABELS, source)
    return _prepare(tree, source, out, found, skipped, options, progress)


def _prepare(
    tree: FileTree,
    source: Path,
    out: Path,
    found: list[Picture],
    skipped: list[Skipped],
    options: Options,
    progress: Progress | None,
) -> PrepareReport:
    if not found:
        raise no_pictures(source, skipped)
    if any(picture.split for picture in found):
        skipped += [Skipped("", p.path, "unknown split") for p in found if p.split is None]
        found = [p for p in found if p.split is not None]
    persons = _persons(found, options.group_regex)
    splits, split_rule = with_validation(
        [p.split or "train" for p in found], [p.label for p in found], seed=options.seed, persons=persons
    )
    pictures = [
        replace(p, split=split, person=person)
        for p, split, person in zip(found, splits, persons or [""] * len(found), strict=True)
    ]
    check_classes([p.label for p in pictures if p.split == "train"], source)
    identity = tree_identity(options.name, options.labels or (), pictures)
    with open_writer(out, identity, "argmax", options.size) as writer:
        write_pictures(tree, pictures, skipped, writer, progress)
        return writer.finish([split for split in SPLITS if split not in splits], split_rule=split_rule)


def _persons(found: Sequence[Picture], regex: str | None) -> list[str]:
    """Return the person of each picture, or an empty list if the names give none."""
    names = [f"{p.label}/{p.name}" for p in found]
    persons = persons_by_name(names) if regex is None else persons_by_regex(names, regex)
    return [person or p.path for person, p in zip(persons, found, strict=True)] if persons else []


def _with_labels(found: Sequence[Picture], labels: Sequence[str]) -> tuple[list[Picture], list[Skipped]]:
    others = [
        Skipped(p.split or "", p.path, "contempt" if p.label == "contempt" else "other class")
        for p in found
        if p.label not in labels
    ]
    return [p for p in found if p.label in labels], others


def find_pictures(tree: FileTree, labels: Sequence[str], source: Path) -> tuple[list[Picture], list[Skipped]]:
    """Find all images in standard class folders, and the files to skip.

    Args:
        tree: File tree of the source.
        labels: Labels to use.
        source: Source for error messages.

    Raises:
        DataError: A class folder has an unknown name, or no class folder contains an image.
    """
    found, skipped = list_pictures(tree)
    unknown = sorted({p.label for p in found}.difference(EIGHT_LABELS))
    if unknown:
        known = ", ".join(name for names in SYNONYMS.values() for name in names)
        names = ", ".join(map(shown_path, unknown[:SHOWN_CLASSES]))
        more = f" and {len(unknown) - SHOWN_CLASSES} more" if len(unknown) > SHOWN_CLASSES else ""
        raise DataError(f"{shown_path(source)} has folders of unknown classes: {names}{more}; expected {known}")
    found, others = _with_labels(found, labels)
    if not found:
        raise no_pictures(source, [*skipped, *others])
    return found, [*skipped, *others]


def no_pictures(source: Path, skipped: Sequence[Skipped]) -> DataError:
    """Return the error for a source without usable class folders."""
    details = f": {nothing_usable(skipped)}" if skipped else ""
    return DataError(f"{shown_path(source)} has no images in class folders such as happy/ or train/happy/{details}")


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
            properties = {"person": picture.person} if picture.person else NO_PROPERTIES
            written[writer.add(picture.split, picture.label, picture.name, face, properties)] = picture
        if progress:
            progress(done, len(pictures))
    return written
