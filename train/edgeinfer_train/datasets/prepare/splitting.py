"""Who goes to training and who to validation, where a data set does not say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeinfer_train.datasets.load import Split
from edgeinfer_train.datasets.prepare.writing import AS_PUBLISHED

VALID_SHARE = 0.2


def with_validation(splits: Sequence[Split], labels: Sequence[str], *, seed: int) -> tuple[list[Split], str]:
    """Take 20 % of the training faces for validation, the same share of every label, where there is no such split.

    Args:
        splits: of N faces.
        labels: of the same faces.
        seed: of the draw.

    Returns:
        The splits of the N faces and, in words, where they come from.
    """
    found = list(splits)
    if "valid" in found or "train" not in found:
        return found, AS_PUBLISHED
    random = np.random.default_rng(seed)
    for label in sorted(set(labels)):
        ours = [
            i for i, (split, other) in enumerate(zip(splits, labels, strict=True)) if (split, other) == ("train", label)
        ]
        for position in random.permutation(ours)[: round(VALID_SHARE * len(ours))].tolist():
            found[position] = "valid"
    return found, f"{VALID_SHARE:.0%} of training taken for validation, stratified, seed {seed}"


def folds_by_subject(labels: Sequence[str], subjects: Sequence[str], *, folds: int, seed: int) -> list[int]:
    """Deal whole subjects into folds with about the same labels.

    Subjects with the most uneven labels come first; each goes where the shares of the labels stay most even over
    the folds, as scikit-learn's StratifiedGroupKFold does it.

    Args:
        labels: of N faces.
        subjects: of the same faces.
        folds: how many, at most as many as there are subjects.
        seed: of the order among equals.

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
    dealt = np.zeros((folds, len(label_names)))
    fold_of_subject = np.zeros(len(subject_names), dtype=np.int64)
    for subject in order:
        unevenness = []
        for fold in range(folds):
            dealt[fold] += shares[subject]
            unevenness.append((dealt.std(axis=0).mean(), dealt[fold].sum()))
            dealt[fold] -= shares[subject]
        chosen = min(range(folds), key=unevenness.__getitem__)
        dealt[chosen] += shares[subject]
        fold_of_subject[subject] = chosen
    return [int(fold) + 1 for fold in fold_of_subject[subject_of_face]]
