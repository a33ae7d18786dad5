"""Validation splits for data sets without published ones."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeinfer_train.datasets.layout import Split
from edgeinfer_train.datasets.prepare.report import AS_PUBLISHED
from edgeinfer_train.errors import DataError

VALID_SHARE = 0.2
PERSON_FOLDS = 5
"""Number of folds by person, of which one is for validation: `VALID_SHARE` of the faces if they are even."""

SPLIT_NAMES: dict[str, Split] = {
    "train": "train", "training": "train", "valid": "valid", "validation": "valid", "val": "valid",
    "publictest": "valid", "test": "test", "testing": "test", "privatetest": "test",
}  # fmt: skip
"""Splits by their names in published data sets, in lower case without spaces and punctuation."""


def split_of(name: str) -> Split | None:
    """Return the split for a name such as "Training", "public_test" or "val", or None if the name is unknown."""
    return SPLIT_NAMES.get(re.sub(r"[\W_]+", "", name).lower())


def with_validation(
    splits: Sequence[Split], labels: Sequence[str], *, seed: int, persons: Sequence[str] = ()
) -> tuple[list[Split], str]:
    """Move a stratified 20 % of the training faces to validation if there is no validation split.

    Args:
        splits: Splits of N faces.
        labels: Labels of the N faces.
        seed: Seed of the selection.
        persons: Persons of the N faces, to keep the faces of each in one split; empty if they are unknown.

    Returns:
        The splits of the N faces, and a description of the split rule.
    """
    found = list(splits)
    if "valid" in found or "train" not in found:
        return found, AS_PUBLISHED
    if persons:
        return _with_persons(found, labels, persons, seed)
    random = np.random.default_rng(seed)
    for label in sorted(set(labels)):
        members = [
            i for i, (split, other) in enumerate(zip(splits, labels, strict=True)) if (split, other) == ("train", label)
        ]
        for position in random.permutation(members)[: round(VALID_SHARE * len(members))].tolist():
            found[position] = "valid"
    return found, f"{VALID_SHARE:.0%} of training taken for validation, stratified, seed {seed}"


def _with_persons(
    splits: list[Split], labels: Sequence[str], persons: Sequence[str], seed: int
) -> tuple[list[Split], str]:
    train = [i for i, split in enumerate(splits) if split == "train"]
    count = len({persons[i] for i in train})
    if count < 2:
        raise DataError("all training faces are of one person: name the splits in the source, or leave out the persons")
    folds = folds_by_subject(
        [labels[i] for i in train], [persons[i] for i in train], folds=min(PERSON_FOLDS, count), seed=seed
    )
    for i, fold in zip(train, folds, strict=True):
        splits[i] = "valid" if fold == 1 else "train"
    moved = splits.count("valid")
    return splits, f"{moved / len(train):.0%} of training taken for validation by person ({count:,}), seed {seed}"


def folds_by_subject(labels: Sequence[str], subjects: Sequence[str], *, folds: int, seed: int) -> list[int]:
    """Assign whole subjects to folds with similar label shares.

    Subjects with the most uneven labels are assigned first, each to the fold that keeps the label shares most even,
    as in scikit-learn's StratifiedGroupKFold.

    Args:
        labels: Labels of N faces.
        subjects: Subjects of the N faces.
        folds: Number of folds, at most the number of subjects.
        seed: Seed for the order of equal subjects.

    Returns:
        The fold of each face, counted from 1.
    """
    label_names, label_of_face = np.unique(np.array(labels), return_inverse=True)
    subject_names, subject_of_face = np.unique(np.array(subjects), return_inverse=True)
    counts: NDArray[np.int64] = np.zeros((len(subject_names), len(label_names)), dtype=np.int64)
    np.add.at(counts, (subject_of_face, label_of_face), 1)
    shares = counts / counts.sum(axis=0)
    order = np.random.default_rng(seed).permutation(len(subject_names))
    order = order[np.argsort(-counts[order].std(axis=1), kind="stable")]
    assigned = np.zeros((folds, len(label_names)))
    fold_of_subject = np.zeros(len(subject_names), dtype=np.int64)
    for subject in order:
        unevenness = []
        for fold in range(folds):
            assigned[fold] += shares[subject]
            unevenness.append((assigned.std(axis=0).mean(), assigned[fold].sum()))
            assigned[fold] -= shares[subject]
        chosen = min(range(folds), key=unevenness.__getitem__)
        assigned[chosen] += shares[subject]
        fold_of_subject[subject] = chosen
    return [int(fold) + 1 for fold in fold_of_subject[subject_of_face]]
