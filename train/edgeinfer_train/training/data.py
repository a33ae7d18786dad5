"""Training and validation faces of a run, with their labels and class weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeinfer_train.config import FitConfig
from edgeinfer_train.datasets.answers import Answers
from edgeinfer_train.datasets.grouping import group_copies, group_faces
from edgeinfer_train.datasets.load import DatasetInfo, Faces, concatenate, load_split, read_properties
from edgeinfer_train.datasets.prepare.splitting import folds_by_subject
from edgeinfer_train.errors import DataError
from edgeinfer_train.labels import LabelMode
from edgeinfer_train.networks.backbones import BACKBONES

LEFT_OUT_FILE = "left-out.csv"
"""File of a run folder with the names of the training faces that the run left out."""
MAX_EXCLUDED = 0.1
"""Largest share of training faces that are excluded before the faces are split again."""
VALID_FOLDS = 5
"""A new split takes one of this many folds for validation."""
HELD_OUT_FILE = "held-out.csv"
"""File of a run folder with the names of the validation faces, if the run splits the faces itself."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Faces of a run in memory.

    Attributes:
        folder: Prepared data folder.
        info: Description of the data set.
        label_mode: Conversion of votes to labels.
        train: Training faces.
        valid: Validation faces.
        folds: (N,) cross-validation fold of each training face, from 1; None without cross-validation.
        held_out: Names of the validation faces if they are not those of the data folder's split, else empty.
        left_out: Names of the training faces that the run leaves out.
        notes: Sentences about the split.
    """

    folder: Path
    info: DatasetInfo
    label_mode: LabelMode
    train: Faces
    valid: Faces
    folds: NDArray[np.int64] | None = None
    held_out: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def label_shares(self) -> dict[str, float]:
        """Return the share of each label among the training faces."""
        labels = self.info.labels
        shares = np.bincount(self.train.labels, minlength=len(labels)) / len(self.train)
        return {label: round(float(share), 6) for label, share in zip(labels, shares, strict=True)}

    def class_weights(self, config: FitConfig) -> dict[int, float] | None:
        """Return Keras' `class_weight`, or None to weight all faces equally."""
        if config.class_weights == "none":
            return None
        labels, counts = np.unique(self.train.labels, return_counts=True)
        weights = len(self.train) / (len(labels) * counts)
        if config.class_weights == "sqrt":
            weights = np.sqrt(weights)
            weights *= len(self.train) / float((weights * counts).sum())  # the mean weight of all faces stays 1
        return {int(n): float(weight) for n, weight in zip(labels, weights, strict=True)}


def resolve_label_mode(config: FitConfig, info: DatasetInfo) -> LabelMode:
    """Return the label mode of a run, with "data" replaced by the data set's default."""
    return info.default_label_mode if config.label_mode == "data" else config.label_mode


def load_training_data(folder: Path, info: DatasetInfo, config: FitConfig) -> TrainingData:
    """Load the faces of a run at the image size of its settings.

    Raises:
        DataError: The data or the answers cannot be used, or the training faces have fewer than two labels.
    """
    mode = resolve_label_mode(config, info)
    colour, size_hw = BACKBONES[config.backbone].colour, (config.image_size, config.image_size)
    train = load_split(folder, "train", size_hw=size_hw, colour=colour, limit=config.limit or None, label_mode=mode)
    valid = load_split(folder, "valid", size_hw=size_hw, colour=colour, label_mode=mode)
    if len(set(train.labels.tolist())) < 2:
        raise DataError(f"{folder} has training faces of fewer than two labels: training needs at least two")
    left_out: tuple[str, ...] = ()
    if config.leave_out:
        train, left_out = _leave_out(train, config.leave_out)
    if config.answers:
        train = Answers.load(Path(config.answers)).blend(train, info.labels, config.distil_weight)
    whole = TrainingData(folder, info, mode, train, valid, left_out=left_out)
    return separate_groups(whole, config) if config.recipe == "small" else whole


def _leave_out(faces: Faces, fold: str) -> tuple[Faces, tuple[str, ...]]:
    """Return the faces of the other folds, and the names of those in the fold "K/N"."""
    number, count = (int(part) for part in fold.split("/"))
    groups = group_copies(faces.images[..., 0] if faces.images.shape[-1] == 1 else faces.images)
    chosen = _fold_ids(faces.labels, groups, count, seed=0) == number
    return faces.take(~chosen), tuple(faces.names[i] for i in np.flatnonzero(chosen))


def separate_groups(data: TrainingData, config: FitConfig) -> TrainingData:
    """Make training and validation faces of a small set disjoint in persons, or else in near-identical faces.

    If few training faces are affected, they are excluded. Otherwise, a fifth of all faces becomes the validation split.

    Args:
        data: Faces as split in the data folder.
        config: Settings with `group_regex` and `folds`.

    Raises:
        ConfigError: `group_regex` is not a regular expression.
        DataError: `group_regex` matches no file name.
    """
    faces = concatenate(data.train, data.valid)
    pictures = list(faces.images[..., 0] if faces.images.shape[-1] == 1 else faces.images)
    properties = read_properties(data.folder)
    persons = [properties.get(name, {}).get("person", "") for name in faces.names]
    groups = group_faces(pictures, faces.names, config.group_regex or None, persons)
    in_valid = np.arange(len(faces)) >= len(data.train)
    affected = np.isin(groups.ids, groups.ids[in_valid]) & ~in_valid
    held_out: tuple[str, ...] = ()
    note = f"{groups.description}: "
    if not affected.any():
        note += "none is in both training and validation"
    elif affected.sum() <= MAX_EXCLUDED * len(data.train):
        note += f"excludes {affected.sum():,} training faces that belong to those of validation"
    else:
        in_valid, affected = _fold_ids(faces.labels, groups.ids, VALID_FOLDS, config.seed) == 1, np.zeros_like(affected)
        held_out = tuple(faces.names[i] for i in np.flatnonzero(in_valid))
        note += f"split again, with {len(held_out):,} faces for validation, listed in {HELD_OUT_FILE}"
    kept = ~in_valid & ~affected
    train, valid = faces.take(kept), faces.take(in_valid)
    if len(set(train.labels.tolist())) < 2:
        raise DataError(f"{note}; the other training faces have fewer than two labels: add faces")
    folds = None
    if config.folds > 1:
        folds = _fold_ids(train.labels, groups.ids[kept], config.folds, config.seed)
    return replace(data, train=train, valid=valid, folds=folds, held_out=held_out, notes=(note,))


def _fold_ids(labels: NDArray[np.int64], groups: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    names = [str(label) for label in labels], [str(group) for group in groups]
    return np.array(folds_by_subject(*names, folds=folds, seed=seed), dtype=np.int64)
