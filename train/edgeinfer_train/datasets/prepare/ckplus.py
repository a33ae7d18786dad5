"""CK+ as published for classification: CK+48/<emotion>/S010_004_00000017.png, with several frames per subject."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from edgeinfer_train.datasets.prepare.folders import find_pictures
from edgeinfer_train.datasets.prepare.pictures import Options, Picture
from edgeinfer_train.datasets.prepare.report import PrepareReport, Progress, Skipped
from edgeinfer_train.datasets.prepare.subjects import DEFAULT_FOLDS, Folds, prepare_by_subject
from edgeinfer_train.datasets.prepare.tree import open_tree
from edgeinfer_train.labels import EIGHT_LABELS


def prepare_ckplus(
    source: Path,
    out: Path,
    *,
    classes: Literal[7, 8] = 7,
    folds: int = DEFAULT_FOLDS,
    fold: int = 1,
    seed: int = 0,
    size: int | None = None,
    progress: Progress | None = None,
) -> PrepareReport:
    """Prepare CK+, split by subject.

    Subjects are assigned to folds with similar label shares. One fold is for validation, the others for training;
    `folds.csv` lists the fold of each file. This form of CK+ has no neutral faces, and no test split. A second call
    with the same folder completes an interrupted one and rewrites nothing.

    Args:
        source: Folder or .zip with `<emotion>/<subject>_<sequence>_<frame>.png`, at any depth.
        out: Data folder to write.
        classes: Number of labels; 8 includes contempt.
        folds: Number of folds; 5 puts 20 % of the subjects into validation.
        fold: Validation fold, 1..folds.
        seed: Seed of the fold assignment.
        size: Side in pixels to which faces are scaled, or None to keep their size.
        progress: Callback with the arguments (files done, total files).

    Raises:
        ConfigError: The fold does not exist.
        DataError: The source is missing or has an unexpected layout, an unknown class, training faces of fewer than two
            classes, or fewer subjects than folds; or `out` contains a different data set.
        RunError: `out` cannot be written.
    """
    chosen, labels = Folds(folds, fold), EIGHT_LABELS[:classes]
    with open_tree(source) as tree:
        everything, skipped = find_pictures(tree, labels, source)
        found = [replace(p, person=subject_of(p)) for p in everything if subject_of(p)]
        skipped += [Skipped("", p.path, "no subject") for p in everything if not subject_of(p)]
        options = Options("CK+", labels, seed, size=size)
        return prepare_by_subject(tree, source, out, found, skipped, options, chosen, progress)


def subject_of(picture: Picture) -> str:
    """Return the subject in a file name, or "" if it has none."""
    subject, underscore, _ = picture.name.partition("_")
    return subject if underscore else ""
