"""Preparation of published data sets: conversion to the layout that `edgeinfer_train.datasets.load` reads.

>>> import tempfile
>>> from pathlib import Path
>>> import cv2
>>> import numpy as np
>>> with tempfile.TemporaryDirectory() as folder:
...     for label in ("happy", "sad"):
...         (Path(folder) / "faces" / label).mkdir(parents=True)
...         for i in range(5):
...             image = np.full((48, 48), 40 * i, np.uint8)
...             _ = cv2.imwrite(f"{folder}/faces/{label}/{i}.png", image)
...     report = prepare("folder", Path(folder) / "faces", Path(folder) / "data")
>>> {split: sum(counts.values()) for split, counts in report.counts.items()}
{'train': 8, 'valid': 2}
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from edgeinfer.options.fields import option
from edgeinfer_train.datasets.prepare.affectnet import prepare_affectnet
from edgeinfer_train.datasets.prepare.ckplus import DEFAULT_FOLDS, prepare_ckplus
from edgeinfer_train.datasets.prepare.fer2013 import prepare_fer2013
from edgeinfer_train.datasets.prepare.ferplus import NeutralRule, prepare_ferplus
from edgeinfer_train.datasets.prepare.folders import prepare_folder
from edgeinfer_train.datasets.prepare.rafdb import prepare_rafdb
from edgeinfer_train.datasets.prepare.report import PrepareReport, Progress, Reason, Skipped
from edgeinfer_train.errors import ConfigError, DataError
from edgeinfer_train.labels import LabelMode, split_labels

__all__ = [
    "FolderOptions",
    "NeutralRule",
    "PrepareReport",
    "Progress",
    "Reason",
    "Skipped",
    "SourceKind",
    "prepare",
    "prepare_affectnet",
    "prepare_ckplus",
    "prepare_fer2013",
    "prepare_ferplus",
    "prepare_folder",
    "prepare_rafdb",
]

SourceKind = Literal["ferplus", "fer2013", "ckplus", "rafdb", "affectnet", "folder"]
SUPPORTED_KINDS: dict[str, tuple[SourceKind, ...]] = {
    "neutral_rule": ("ferplus",),
    "folds": ("ckplus",),
    "fold": ("ckplus",),
    "seed": ("fer2013", "ckplus", "rafdb", "affectnet", "folder"),
    "labels": ("folder",),
    "group_regex": ("folder",),
    "corrections": ("folder",),
}
"""Layouts to which a parameter of `prepare` applies."""
READERS: dict[SourceKind, Callable[..., PrepareReport]] = {
    "fer2013": prepare_fer2013,
    "ckplus": prepare_ckplus,
    "rafdb": prepare_rafdb,
    "affectnet": prepare_affectnet,
    "folder": prepare_folder,
}
"""Readers of the layouts without published votes."""


@dataclass(frozen=True)
class FolderOptions:
    """Options of class folders and of CSV files with labels.

    Attributes:
        labels: Labels to use, in order; an item may contain several, separated by commas. Empty uses all.
        group_regex: Regular expression for the person in a file name, whose faces stay in one split.
        corrections: Table that replaces labels, see `prepare_folder`.
    """

    title: ClassVar[str] = "Folder"

    labels: tuple[str, ...] = option(
        (), "Labels to use, in this order (folder). Default: all.", metavar="NAME,NAME,...", show_default=False
    )
    group_regex: str | None = option(
        None,
        "Person in a file name, kept in one split: first group, or match (folder). Default: common names.",
        metavar="REGEX", show_default=False,
    )  # fmt: skip
    corrections: Path | None = option(
        None, "Corrected labels: CSV file from the page of label (folder).", show_default=False
    )


def prepare(
    kind: SourceKind,
    source: Path,
    out: Path,
    *,
    classes: Literal[7, 8] | None = None,
    label_mode: LabelMode | None = None,
    neutral_rule: NeutralRule = "plurality",
    folds: int | None = None,
    fold: int | None = None,
    seed: int | None = None,
    folder: FolderOptions = FolderOptions(),
    progress: Progress | None = None,
) -> PrepareReport:
    """Convert a published data set into a prepared data folder; see the function of each layout for details.

    Args:
        kind: Layout of the source.
        source: Folder, zip or CSV file as published.
        out: Data folder to write.
        classes: Number of labels; 8 includes contempt. None uses 7, and for class folders the labels that they have.
        label_mode: Default label mode of `load_split`. None selects "votes" for FERPlus, and "argmax" for the other
            layouts, which have no votes.
        neutral_rule: Label rule of FERPlus.
        folds: Number of folds of CK+; None uses 5.
        fold: Validation fold of CK+, counted from 1; None uses 1.
        seed: Seed of splits that are created here; None uses 0. FERPlus has published splits.
        folder: Options of class folders.
        progress: Callback with the arguments (done, total).

    Returns:
        Counts of the prepared faces and the list of skipped rows.

    Raises:
        ConfigError: A parameter does not apply to this layout.
        DataError: The source or `out` cannot be used, or the label mode needs votes.
        RunError: `out` cannot be written.
    """
    rule = None if neutral_rule == "plurality" else neutral_rule
    own = asdict(folder) | {"labels": split_labels(folder.labels) or None}
    _check_applicable(kind, {"neutral_rule": rule, "folds": folds, "fold": fold, "seed": seed, **own})
    if kind == "ferplus":
        return prepare_ferplus(
            source,
            out,
            classes=classes or 7,
            label_mode=label_mode or "votes",
            neutral_rule=neutral_rule,
            progress=progress,
        )
    if label_mode not in (None, "argmax") and not (kind == "folder" and source.suffix.lower() == ".csv"):
        raise DataError(f"{kind} has one label per face and no votes: set `label_mode` to argmax")
    common: Any = {"classes": classes if kind == "folder" else classes or 7, "seed": seed or 0, "progress": progress}
    if kind == "ckplus":
        common |= {"folds": DEFAULT_FOLDS if folds is None else folds, "fold": 1 if fold is None else fold}
    if kind == "folder":
        common |= {"label_mode": label_mode, **own}
    return READERS[kind](source, out, **common)


def _check_applicable(kind: SourceKind, given: dict[str, object]) -> None:
    """Raise ConfigError if a parameter is given that does not apply to the layout."""
    for name, kinds in SUPPORTED_KINDS.items():
        if given[name] is not None and kind not in kinds:
            raise ConfigError(f"`{name}` applies to {', '.join(kinds)} only, not to {kind}")
