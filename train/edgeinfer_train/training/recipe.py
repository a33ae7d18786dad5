"""Settings for a data set: the recipe for small sets, or the defaults of the backbone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from edgeinfer_train.config import EdgeName, FitConfig
from edgeinfer_train.datasets.load import DatasetInfo, present_splits, read_info, split_files
from edgeinfer_train.networks.start import start_path

SMALL_SET, FOLDED_SET, FOLDS = 5000, 300, 3
"""Numbers of faces below which the recipe and cross-validation are the default, and the number of folds."""
RARE_SHARE = 1 / 3
"""Ratio of the rarest class's count to the mean class count, below which rare classes are weighted more."""
SMALL: dict[str, Any] = {
    "recipe": "small", "epochs": 16, "batch_size": 32, "learning_rate": 0.005, "warmup_epochs": 0.0,
    "weight_decay": 5e-4, "ema_momentum": 0.0, "label_smoothing": 0.1, "dropout": 0.0, "patience": 6,
    "monitor": "val_loss",
}  # fmt: skip
"""Settings of the recipe for small sets. The network starts close to its aim, so that the learning rate is small."""
SMALL_AUGMENT: dict[str, Any] = {
    "rotation": 20.0, "zoom": 0.12, "shift": 0.06, "shear": 0.0, "brightness": 0.1, "contrast": 0.4, "small": 0.1,
    "blur": 0.3, "noise": 0.02, "erasing": 0.3, "mixup": 0.0,
}  # fmt: skip
"""Augmentation of the recipe for small sets."""
FULL_START: dict[str, Any] = {"learning_rate": 0.02, "epochs": 20}
"""Settings that differ from the defaults of an edge network if it starts from a trained model."""


def choose_settings(data: Path, given: dict[str, Any]) -> FitConfig:
    """Return the settings of a run on a data folder; those that are not given have defaults for this set.

    Args:
        data: Prepared data folder, read only if the run starts from a trained model.
        given: Plain values of the settings that were chosen explicitly, as in a TOML file.

    Raises:
        ConfigError: A setting is invalid.
        ModelNotFoundError: The bundled model is not part of this installation.
        DataError: The data folder is not prepared.
    """
    base = FitConfig.from_mapping(given)
    if start_path(base.weights) is None:
        return base
    counts = _label_counts(data, read_info(data), limit=base.limit)
    if given.get("recipe", "small" if sum(counts) < SMALL_SET else "full") == "full":
        changes = FULL_START if base.backbone in get_args(EdgeName) else {}
        return FitConfig.from_mapping({**changes, **given})
    used = [count for count in counts if count]
    rare = bool(used) and min(used) < RARE_SHARE * sum(used) / len(used)
    chosen = {**SMALL, "class_weights": "sqrt" if rare else "none"}
    if sum(counts) < FOLDED_SET:  # too few validation faces to choose an epoch
        chosen |= {"folds": FOLDS, "patience": SMALL["epochs"]}
    return FitConfig.from_mapping({**chosen, **given, "augment": {**SMALL_AUGMENT, **given.get("augment", {})}})


def _label_counts(data: Path, info: DatasetInfo, *, limit: int) -> list[int]:
    """Return the number of training faces of each label."""
    if "train" not in present_splits(data, info.labels):
        return [0] * len(info.labels)
    files = split_files(data, "train", info.labels)
    counts = [0] * len(info.labels)
    for _, label in files:
        counts[label] += 1
    used = min(limit or len(files), len(files)) / len(files)
    return [round(count * used) for count in counts]
