"""CK+ as published for classification: CK+48/<emotion>/S010_004_00000017.png, with several frames per subject."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from edgeinfer.errors import shown_path
from edgeinfer_train.datasets.prepare.files import write_csv
from edgeinfer_train.datasets.prepare.folders import find_pictures, tree_identity, write_pictures
from edgeinfer_train.datasets.prepare.pictures import Picture
from edgeinfer_train.datasets.prepare.report import PrepareReport, Progress, Skipped
from edgeinfer_train.datasets.prepare.splitting import folds_by_subject
from edgeinfer_train.datasets.prepare.tree import open_tree
from edgeinfer_train.datasets.prepare.writing import FOLDS_FILE, check_classes, open_writer
from edgeinfer_train.errors import ConfigError, DataError
from edgeinfer_train.labels import EIGHT_LABELS

DEFAULT_FOLDS = 5  # 20 % of the faces for validation, as in the other layouts


def prepare_ckplus(
    source: Path,
    out: Path,
    *,
    classes: Literal[7, 8] = 7,
    folds: int = DEFAULT_FOLDS,
    fold: int = 1,
    seed: int = 0,
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
        progress: Callback with the arguments (files done, total files).

    Raises:
        ConfigError: The fold does not exist.
        DataError: The source is missing or has an unexpected layout, an unknown class, training faces of fewer than two
            classes, or fewer subjects than folds; or `out` contains a different data set.
        RunError: `out` cannot be written.
    """
    if folds < 2 or not 1 <= fold <= folds:
        raise ConfigError(
            f"invalid `fold` {fold} of `folds` {folds}: expected at least 2 folds, and a fold from 1 to their number"
        )
    labels = EIGHT_LABELS[:classes]
    with open_tree(source) as tree:
        everything, skipped = find_pictures(tree, labels, source)
        found = [p for p in everything if subject_of(p)]
        skipped += [Skipped("", p.path, "no subject") for p in everything if not subject_of(p)]
        subjects = [subject_of(p) for p in found]
        if len(set(subjects)) < folds:
            raise DataError(
                f"{shown_path(source)} has {len(set(subjects))} subjects, too few for {folds} folds: "
                "expected names such as S010_004_00000017.png, with the subject before the first underscore"
            )
        fold_numbers = folds_by_subject([p.label for p in found], subjects, folds=folds, seed=seed)
        pictures = [
            replace(p, split="valid" if f == fold else "train", person=subject_of(p))
            for p, f in zip(found, fold_numbers, strict=True)
        ]
        check_classes([p.label for p in pictures if p.split == "train"], source)
        fold_of = dict(zip(subjects, fold_numbers, strict=True))
        with open_writer(out, tree_identity("CK+", labels, pictures), "argmax") as writer:
            written = write_pictures(tree, pictures, skipped, writer, progress)
            rows = [[file, subject_of(p), fold_of[subject_of(p)]] for file, p in written.items()]
            write_csv(out / FOLDS_FILE, ["file", "subject", "fold"], rows)
            rule = f"by subject, fold {fold} of {folds} for validation, seed {seed}"
            return writer.finish(["test"], split_rule=rule)


def subject_of(picture: Picture) -> str:
    """Return the subject in a file name, or "" if it has none."""
    subject, underscore, _ = picture.name.partition("_")
    return subject if underscore else ""
