"""Training and validation faces of a run, with their labels and class weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeinfer_train.config import FitConfig
from edgeinfer_train.datasets.load import DatasetInfo, Faces, load_split
from edgeinfer_train.errors import DataError
from edgeinfer_train.labels import LabelMode
from edgeinfer_train.networks.backbones import BACKBONES


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Faces of a run in memory.

    Attributes:
        folder: Prepared data folder.
        info: Description of the data set.
        label_mode: Conversion of votes to labels.
        train: Training faces.
        valid: Validation faces.
    """

    folder: Path
    info: DatasetInfo
    label_mode: LabelMode
    train: Faces
    valid: Faces

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
        return {int(n): len(self.train) / (len(labels) * int(count)) for n, count in zip(labels, counts, strict=True)}


def resolve_label_mode(config: FitConfig, info: DatasetInfo) -> LabelMode:
    """Return the label mode of a run, with "data" replaced by the data set's default."""
    return info.default_label_mode if config.label_mode == "data" else config.label_mode


def load_training_data(folder: Path, info: DatasetInfo, config: FitConfig) -> TrainingData:
    """Load the faces of a run at the image size of its settings.

    Raises:
        DataError: The data cannot be used, or the training faces have fewer than two labels.
    """
    mode = resolve_label_mode(config, info)
    colour, size_hw = BACKBONES[config.backbone].colour, (config.image_size, config.image_size)
    train = load_split(folder, "train", size_hw=size_hw, colour=colour, limit=config.limit or None, label_mode=mode)
    valid = load_split(folder, "valid", size_hw=size_hw, colour=colour, label_mode=mode)
    if len(set(train.labels.tolist())) < 2:
        raise DataError(f"{folder} has training faces of fewer than two labels: training needs at least two")
    return TrainingData(folder, info, mode, train, valid)
