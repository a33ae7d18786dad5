"""Pictures in class folders."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from edgeinfer.errors import path_text
from edgeinfer_train.datasets.layout import Split
from edgeinfer_train.datasets.load import IMAGE_SUFFIXES
from edgeinfer_train.datasets.prepare.report import Reason, Skipped
from edgeinfer_train.datasets.prepare.splitting import split_of
from edgeinfer_train.datasets.prepare.tree import FileTree, is_visible
from edgeinfer_train.labels import EIGHT_LABELS, LabelMode, check_labels, class_label, label_of, order_labels


@dataclass(frozen=True, slots=True)
class Picture:
    """One image in a class folder.

    Attributes:
        path: Path inside the source.
        size: File size in bytes.
        split: Split named by the folder above the class folder, or None.
        label: Label: a standard one, or the name of the class folder.
        person: Person in the file name, or "".
    """

    path: str
    size: int
    split: Split | None
    label: str
    person: str = ""

    @property
    def name(self) -> str:
        """File name."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True, slots=True)
class Options:
    """Choices for class folders.

    Attributes:
        name: Name of the data set.
        labels: Labels to use, in order; None uses all.
        seed: Seed of the validation split.
        group_regex: Regular expression for the person in a file name, or None.
        label_mode: Default label mode of a table with votes; None selects "votes".
        size: Side in pixels to which faces are scaled, or None.
    """

    name: str
    labels: tuple[str, ...] | None
    seed: int
    group_regex: str | None = None
    label_mode: LabelMode | None = None
    size: int | None = None


def labels_of_source(classes: Iterable[str], count: Literal[7, 8] | None) -> tuple[str, ...]:
    """Return the labels of a data set: those that it has, or `count` standard labels if it has no others."""
    found = set(classes)
    if count is not None and found <= set(EIGHT_LABELS):
        return EIGHT_LABELS[:count]
    return check_labels(order_labels(found)) if len(found) > 1 else tuple(found)


def list_pictures(tree: FileTree) -> tuple[list[Picture], list[Skipped]]:
    """List the images of all class folders with their labels, and the files to skip."""
    found: dict[tuple[Split | None, str, str], Picture] = {}
    skipped = list(tree.skipped)
    for path in sorted(filter(is_visible, tree.files), key=lambda p: (p.count("/"), p)):
        *_, above, folder, name = ("", "", *PurePosixPath(path).parts)
        split = split_of(above)
        label = "" if not folder or (split_of(folder) and label_of(folder) is None) else class_label(folder)
        reason: Reason | None = None
        if not _is_picture(name):
            reason = "not an image" if label_of(folder) else None
        elif not label:
            reason = "no class"
        elif (split, label, path_text(name)) in found:
            reason = "duplicate name"
        else:
            found[split, label, path_text(name)] = Picture(path, tree.files[path], split, label)
        if reason:
            skipped.append(Skipped(split or "", path, reason))
    return list(found.values()), skipped


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES
