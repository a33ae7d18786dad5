"""Validation splits for data sets without published ones."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeinfer_train.datasets.load import Split
from edgeinfer_train.datasets.prepare.writing import AS_PUBLISHED

VALID_SHARE = 0.2

SPLIT_NAMES: dict[str, Split] = {
    "train": "train", "training": "train", "valid": "valid", "validation": "valid", "val": "valid",
    "publictest": "valid", "test": "test", "testing": "test", "privatetest": "test",
}  # fmt: skip
"""Splits by their names in published data sets, in lower case without spaces and punctuation."""


def split_of(name: str) -> Split | None:
    """Return the split for a name such as "Training", "public_test" or "val", or None if the name is unknown."""
    return SPLIT_NAMES.get(re.sub(r"[\W_]+", "", name).lower())


def with_validation(splits: Sequence[Split], labels: Sequence[str], *, seed: int) -> tuple[list[Split], str]:
    """Move a stratified 20 % of the training faces to validation if there is no validation split.

    Args:
        splits: Splits of N faces.
        labels: Labels of the N faces.
        seed: Seed of the selection.

    Returns:
        The splits of the N faces, and a description of the split rule.
    """
    found = list(splits)
    if "valid" in found or "train" not in found:
        return found, AS_PUBLISHED
    random = np.random.default_rng(seed)
    for label in sorted(set(labels)):
        members = [
            i for i, (split, other) in enumerate(zip(splits, labels, strict=True)) if (split, other) == ("train", label)
        ]
        for position in random.permutation(members)[: round(VALID_SHARE * len(members))].tolist():
            found[position] = "valid"
    return found, f"{VALID_SHARE:.0%} of training taken for validation, stratified, seed {seed}"


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
