"""Data sets with several pictures per subject, split into folds by subject: the common part of their readers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgeinfer.errors import shown_path
from edgeinfer_train.datasets.prepare.files import write_csv
from edgeinfer_train.datasets.prepare.folders import tree_identity, write_pictures
from edgeinfer_train.datasets.prepare.pictures import Options, Picture
from edgeinfer_train.datasets.prepare.report import PrepareReport, Progress, Skipped
from edgeinfer_train.datasets.prepare.splitting import folds_by_subject
from edgeinfer_train.datasets.prepare.tree import FileTree
from edgeinfer_train.datasets.prepare.writing import FOLDS_FILE, check_classes, open_writer
from edgeinfer_train.errors import ConfigError, DataError

DEFAULT_FOLDS = 5  # 20 % of the faces for validation, as in the other layouts


@dataclass(frozen=True, slots=True)
class Folds:
    """Number of folds by subject, and the validation fold, counted from 1.

    Raises:
        ConfigError: The fold does not exist.
    """

    count: int
    valid: int

    def __post_init__(self) -> None:
        """Validate the numbers."""
        if self.count < 2 or not 1 <= self.valid <= self.count:
            raise ConfigError(
                f"invalid `fold` {self.valid} of `folds` {self.count}: expected at least 2 folds, and a fold from 1 to "
                "their number"
            )


def prepare_by_subject(
    tree: FileTree,
    source: Path,
    out: Path,
    found: Sequence[Picture],
    skipped: Sequence[Skipped],
    options: Options,
    folds: Folds,
    progress: Progress | None,
) -> PrepareReport:
    """Write pictures into training and validation, split by subject; folds.csv lists the fold of each file.

    Args:
        tree: File tree of the source.
        source: Source for error messages.
        out: Data folder to write.
        found: Pictures with their subjects as persons.
        skipped: Files that were already skipped.
        options: Name, labels, seed and size of the data set.
        folds: Folds by subject.
        progress: Callback with the arguments (files done, total files).

    Raises:
        DataError: There are fewer subjects than folds or training faces of fewer than two classes, or `out` contains
            a different data set.
        RunError: `out` cannot be written.
    """
    subjects = [p.person for p in found]
    if len(set(subjects)) < folds.count:
        raise DataError(
            f"{shown_path(source)} has {len(set(subjects))} subjects, too few for {folds.count} folds: set `folds` to "
            "their number, or check that the file names are as published"
        )
    numbers = folds_by_subject([p.label for p in found], subjects, folds=folds.count, seed=options.seed)
    fold_of = dict(zip(subjects, numbers, strict=True))
    pictures = [replace(p, split="valid" if fold_of[p.person] == folds.valid else "train") for p in found]
    check_classes([p.label for p in pictures if p.split == "train"], source)
    identity = tree_identity(options.name, options.labels or (), pictures)
    with open_writer(out, identity, "argmax", options.size) as writer:
        written = write_pictures(tree, pictures, skipped, writer, progress)
        rows = [[file, p.person, fold_of[p.person]] for file, p in written.items()]
        write_csv(out / FOLDS_FILE, ["file", "subject", "fold"], rows)
        rule = f"by subject, fold {folds.valid} of {folds.count} for validation, seed {options.seed}"
        return writer.finish(["test"], split_rule=rule)
