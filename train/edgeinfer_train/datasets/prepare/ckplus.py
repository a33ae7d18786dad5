"""CK+ as it is published for classification: CK+48/<emotion>/S010_004_00000017.png, several frames a person."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from edgeinfer_train.datasets.prepare.folders import Picture, find_pictures, tree_identity, write_pictures
from edgeinfer_train.datasets.prepare.splitting import folds_by_subject
from edgeinfer_train.datasets.prepare.tree import open_tree
from edgeinfer_train.datasets.prepare.writing import (
    PrepareReport,
    Progress,
    Skipped,
    check_classes,
    open_writer,
    write_csv,
)
from edgeinfer_train.errors import ConfigError, DataError
from edgeinfer_train.labels import EIGHT_LABELS

FOLDS_FILE = "folds.csv"
DEFAULT_FOLDS = 5  # a fifth of the faces is for validation, as elsewhere


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
    """Bring CK+ into our layout, with nobody on both sides of a split.

    Subjects are dealt into folds with about the same labels. One fold is for validation, the others for training;
    `folds.csv` holds the fold of every file. There is no neutral face in this form of CK+, and no test split. A
    second run over the same folder finishes what the first began and writes nothing twice.

    Args:
        source: a folder or .zip with `<emotion>/<subject>_<sequence>_<frame>.png`, at any depth.
        out: the data folder to fill.
        classes: 8 keeps contempt.
        folds: how many; 5 puts 20 % of the subjects into validation.
        fold: the one for validation, 1..folds.
        seed: of the deal.
        progress: called with (pictures done, pictures in all).

    Raises:
        ConfigError: there is no such fold.
        DataError: the source is missing or laid out differently, has an unknown class, training faces of fewer
            than two or fewer subjects than folds, or `out` holds another data set.
        RunError: `out` cannot be written.
    """
    if folds < 2 or not 1 <= fold <= folds:
        raise ConfigError(f"there is no fold {fold} of {folds}; take at least 2 folds and one of 1 to {folds}")
    labels = EIGHT_LABELS[:classes]
    with open_tree(source) as tree:
        everything, skipped = find_pictures(tree.files(), labels, source)
        found = [p for p in everything if subject_of(p)]
        skipped += [Skipped("", p.path, "no subject") for p in everything if not subject_of(p)]
        subjects = [subject_of(p) for p in found]
        if len(set(subjects)) < folds:
            raise DataError(
                f"{source} shows {len(set(subjects))} subjects, too few for {folds} folds; expected names such as "
                "S010_004_00000017.png, the subject before the first underscore"
            )
        dealt = folds_by_subject([p.label for p in found], subjects, folds=folds, seed=seed)
        pictures = [replace(p, split="valid" if f == fold else "train") for p, f in zip(found, dealt, strict=True)]
        check_classes([p.label for p in pictures if p.split == "train"], source)
        fold_of = dict(zip(subjects, dealt, strict=True))
        with open_writer(out, tree_identity("CK+", labels, pictures), "argmax") as writer:
            written = write_pictures(tree, pictures, skipped, writer, progress)
            rows = [[file, subject_of(p), fold_of[subject_of(p)]] for file, p in written.items()]
            write_csv(out / FOLDS_FILE, ["file", "subject", "fold"], rows)
            rule = f"by subject, fold {fold} of {folds} for validation, seed {seed}"
            return writer.finish(["test"], split_rule=rule)


def subject_of(picture: Picture) -> str:
    """Who is shown; empty where the name does not say."""
    subject, underscore, _ = picture.name.partition("_")
    return subject if underscore else ""
