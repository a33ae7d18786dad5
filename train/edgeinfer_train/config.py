"""Settings of a training run."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from edgeinfer.errors import shown_path
from edgeinfer.options.fields import option
from edgeinfer_train.augmentation import AugmentConfig
from edgeinfer_train.errors import ConfigError
from edgeinfer_train.labels import LabelMode
from edgeinfer_train.ranges import Range, shown_value

EdgeName = Literal["edgenet", "edgenet-sep"]
BackboneName = Literal[
    EdgeName,
    "vgg16",
    "resnet50",
    "xception",
    "inceptionv3",
    "mobilenetv2",
    "efficientnetb0",
    "efficientnetlite0",
    "faceresnet",
]
Precision = Literal["float32", "mixed_bfloat16"]
Monitor = Literal["val_accuracy", "val_loss"]
Phases = Literal["whole", "two-phase"]
Devices = Literal["one", "all"]
OptimizerName = Literal["sgd", "adamw"]
Schedule = Literal["cosine", "constant"]
ClassWeights = Literal["none", "balanced", "sqrt"]
Recipe = Literal["full", "small"]
LabelChoice = Literal["data", LabelMode]
BUNDLED = "bundled"
"""Value of `weights` for the bundled model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig:
    """Settings of one run.

    Attributes:
        backbone: Name in `edgeinfer_train.networks.backbones.BACKBONES`.
        weights: Initial weights: "bundled" for the bundled model, "imagenet", "none", the path of a run folder or a
            weights file, or "auto" for "imagenet" if Keras publishes them, else "none". A trained model also sets width
            and input size, and its head is kept if it has all labels of the data.
        recipe: "small" fine-tunes a trained model on a small set, see `edgeinfer_train.training.recipe`.
        image_size: Side of the square input in pixels; 0 uses that of the trained model, the data or the backbone.
        limit: Maximum number of training faces, spaced evenly; 0 uses all.
        label_mode: Training labels: "argmax" uses the winning label, "majority" only faces with a majority label,
            "votes" the shares of the votes, "data" the data set's default mode.
        width: Channel multiplier of an edge network.
        dropout: Share of features that are dropped before the head, 0..1 (exclusive).
        trainable_layers: Number of trainable layers at the end of the backbone; 0 trains none of them, -1 all.
        phases: "whole" trains these layers and the head together, "two-phase" trains the head alone first.
        head_epochs: Epochs of the head-only phase, included in `epochs`.
        head_learning_rate: Constant learning rate of the head-only phase.
        epochs: Maximum number of epochs.
        batch_size: Faces per batch.
        optimizer: "sgd" with Nesterov momentum (Sutskever et al. 2013) or "adamw" (arXiv:1711.05101).
        learning_rate: Peak learning rate.
        schedule: Learning rate after the warm-up: "cosine" decays to 0, "constant" does not decay.
        warmup_epochs: Epochs of linear increase to the peak; fractions are allowed.
        momentum: Momentum of SGD, or beta 1 of AdamW, 0..1 (exclusive).
        weight_decay: Decoupled weight decay, multiplied by the learning rate, on kernels only.
        ema_momentum: Momentum of the moving average of the weights per step, 0..1 (exclusive); 0 disables it.
        label_smoothing: Share of each label that is distributed evenly over all labels, 0..1 (exclusive).
        class_weights: "balanced" weights faces by the inverse frequency of their label, "sqrt" by its square root,
            "none" weights all equally.
        group_regex: Regular expression for file names whose first group, or whole match, identifies the person; ""
            uses the persons of `faces.csv` or of the names, or near-duplicates by pixels. With the recipe "small" only.
        folds: Number of cross-validation folds; 0 disables cross-validation. With the recipe "small" only.
        leave_out: Fold of the training faces to leave out, such as "2/5", or "" to use all. Near-identical faces are in
            the same fold. `edgeinfer-train answers` asks the teacher about these faces only.
        answers: File of answers for the training faces, written by `edgeinfer-train answers`, or "" to use none.
            Targets are `distil_weight` times the answers plus the rest times the labels.
        teachers: Run folders or `.keras` files whose averaged predictions are used as additional targets.
        distil_temperature: Temperature that softens both distributions of the distillation loss.
        distil_weight: Share of the distillation loss in the total loss, or of the answers in the targets, 0..1.
        distil_views: Number of augmented copies of each face for which the teachers' predictions are computed once;
            epochs use them in turn. 0 computes the predictions in each training step.
        kept_share: Share of the trained weights in their average with those of the trained model in `weights`, 0..1; 0
            selects a share, or the start itself, on the validation faces.
        patience: Epochs without improvement of `monitor` before training stops.
        monitor: Validation metric that selects the kept epoch.
        precision: Keras dtype policy of the training step; the saved model is float32.
        devices: "all" splits each batch over all devices of the backend, see `edgeinfer_train.training.devices`.
        seed: Seed of initial weights, order, mixup and augmentation.
        tensorboard: True to write TensorBoard logs into the run folder.
        augment: Augmentation of training faces.

    Fields with option metadata are also options of `edgeinfer-train fit`.

    Examples:
        >>> config = FitConfig.for_backbone("mobilenetv2").replace(epochs=5)
        >>> config.epochs, config.learning_rate
        (5, 0.01)
    """

    title: ClassVar[str] = "Settings"

    backbone: BackboneName = option("edgenet", "Network to train.", title="Network")
    weights: str = option(
        "auto",
        "Trained model to start from, or initial weights; PATH is a run folder or a file. Default: imagenet if Keras "
        "publishes them.",
        title="Network",
        metavar="bundled|imagenet|none|PATH",
    )
    recipe: Recipe = option(
        "full", "Default: small below 5,000 training faces with a trained model in --weights.", title="Training"
    )
    image_size: int = option(
        0, "Side of the square input in pixels; 0 uses that of the trained model, the data or the backbone.",
        title="Network",
    )  # fmt: skip
    limit: int = option(0, "Maximum number of training faces; 0 uses all.", title="Data")
    label_mode: LabelChoice = option(
        "data", "Conversion of votes to labels. Default: the data set's label mode.", title="Data"
    )
    width: float = option(1.0, "Channel multiplier of an edge network.", title="Network")
    dropout: float = 0.3
    trainable_layers: int = option(
        -1, "Train the head and the backbone's last N layers; -1 trains all.", title="Network"
    )
    phases: Phases = option("whole", "two-phase: train the head alone first.", title="Training")
    head_epochs: int = option(2, "Epochs of the head-only phase.", title="Training")
    head_learning_rate: float = 0.01
    epochs: int = option(40, "Maximum number of epochs.", title="Training")
    batch_size: int = option(64, "Faces per batch.", title="Training")
    optimizer: OptimizerName = option("sgd", "sgd: with Nesterov momentum.", title="Training")
    learning_rate: float = option(0.08, "Peak learning rate.", title="Training")
    schedule: Schedule = option("cosine", "Learning rate schedule after the warm-up.", title="Training")
    warmup_epochs: float = 2.0
    momentum: float = 0.9
    weight_decay: float = 5e-3
    ema_momentum: float = 0.998
    label_smoothing: float = 0.0
    class_weights: ClassWeights = option(
        "none", "balanced: weight faces by inverse label frequency; sqrt: by its square root.", title="Data"
    )
    group_regex: str = option(
        "",
        "Person of a face: first group, or match, of this regular expression in the file name. Persons are never split "
        "between training and validation. Default: the persons of faces.csv, or of the names.",
        title="Data",
        metavar="REGEX",
    )
    folds: int = option(0, "Cross-validation folds of the recipe small. Default: 3 below 300 faces.", title="Training")
    leave_out: str = option(
        "", "Leave out fold K of N of the training faces, for a teacher of these faces.", title="Data", metavar="K/N"
    )
    answers: str = option(
        "", "Answers of teachers, from edgeinfer-train answers, as part of the targets.", title="Training",
        metavar="FILE.npz",
    )  # fmt: skip
    teachers: tuple[str, ...] = option(
        (),
        "Run folder or .keras file of a teacher. Repeat to average several.",
        title="Training",
        metavar="RUN|FILE",
        flags=("--teacher",),
    )
    distil_temperature: float = 4.0
    distil_weight: float = 0.5
    distil_views: int = 0
    kept_share: float = 0.0
    patience: int = option(12, "Epochs without improvement before training stops.", title="Training")
    monitor: Monitor = "val_accuracy"
    precision: Precision = option(
        "mixed_bfloat16", "Precision of the training step; the saved model is float32.", title="Resources"
    )
    devices: Devices = option("one", "all: split each batch over all devices.", title="Resources")
    seed: int = option(0, "Random seed.", title="Training")
    tensorboard: bool = option(
        False, "Write TensorBoard logs into the run folder.", title="Resources", flags=("--tensorboard",)
    )
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        """Validate ranges and choices."""
        for name, valid in RANGES.items():
            valid.check(f"`{name}`", getattr(self, name))
        for name, choices in CHOICES.items():
            if getattr(self, name) not in get_args(choices):
                raise ConfigError(
                    f"`{name}` is {shown_value(getattr(self, name))}: expected one of {', '.join(get_args(choices))}"
                )
        self._check_combinations()

    def _check_combinations(self) -> None:
        """Validate combinations of settings."""
        if self.trainable_layers not in Range(-1, MAX_LAYERS):
            raise ConfigError(
                f"`trainable_layers` is {shown_value(self.trainable_layers)}: expected -1 for all, 0 or more, "
                f"at most {MAX_LAYERS:,}"
            )
        if self.width != 1 and self.backbone not in get_args(EdgeName):
            raise ConfigError(f"`width` is {self.width}: only edge networks have a width, not {self.backbone}")
        if self.distil_views and not (self.teachers and self.distil_temperature == 1):
            raise ConfigError(
                f"`distil_views` is {self.distil_views}: views need teachers and a `distil_temperature` of 1"
            )
        if self.answers and self.teachers:
            raise ConfigError("`answers` replaces the teachers: leave out `teachers`")
        if self.leave_out and not _is_fold(self.leave_out):
            raise ConfigError(f"`leave_out` is {shown_value(self.leave_out)}: expected a fold such as 2/5")
        if self.head_phase >= self.epochs:
            raise ConfigError(f"`head_epochs` is {self.head_epochs}: expected fewer than the {self.epochs} of `epochs`")

    @property
    def head_phase(self) -> int:
        """Number of epochs that train only the head."""
        return self.head_epochs if self.phases == "two-phase" else 0

    @classmethod
    def for_backbone(cls, backbone: str) -> FitConfig:
        """Return the defaults: training from scratch for edge networks, fine-tuning for other backbones.

        Raises:
            ConfigError: The backbone is unknown.
        """
        changes = {} if backbone in get_args(EdgeName) else FINE_TUNING | RATES.get(backbone, {})
        return cls(**{"backbone": backbone, **changes})

    @classmethod
    def from_mapping(cls, values: dict[str, Any]) -> FitConfig:
        """Build the settings from plain values. Settings that are not given have the backbone's defaults.

        Raises:
            ConfigError: A setting is unknown, has the wrong type or is out of range.
        """
        values = dict(values)
        augment = values.pop("augment", {})
        if not isinstance(augment, dict):
            raise ConfigError("augment is not a table: expected a section [augment]")
        typed = _typed(cls, values, "")
        base = cls.for_backbone(typed.get("backbone", "edgenet"))
        augmentation = dataclasses.replace(base.augment, **_typed(AugmentConfig, augment, "augment."))
        return dataclasses.replace(base, **typed, augment=augmentation)

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values for TOML or JSON."""
        return {**dataclasses.asdict(self), "teachers": list(self.teachers)}

    def published(self) -> dict[str, Any]:
        """Return plain values for publication, with paths reduced to their last component."""
        names = {name: Path(getattr(self, name)).name for name in ("weights", "answers")}
        return {**self.to_mapping(), **names, "teachers": [Path(teacher).name for teacher in self.teachers]}

    def replace(self, **changes: Any) -> FitConfig:
        """Return a copy with changed settings; None keeps a setting."""
        return dataclasses.replace(self, **{k: v for k, v in changes.items() if v is not None})


CHOICES: dict[str, Any] = {
    "backbone": BackboneName, "phases": Phases, "optimizer": OptimizerName, "schedule": Schedule,
    "class_weights": ClassWeights, "precision": Precision, "monitor": Monitor, "label_mode": LabelChoice,
    "devices": Devices, "recipe": Recipe,
}  # fmt: skip

MAX_LAYERS = 100_000
_EPOCHS = 1_000_000
_HALF_OPEN = Range(0, 1, below=True)
RANGES = {
    "image_size": Range(0, 1024), "limit": Range(0, 1_000_000_000), "width": Range(0, 16, above=True),
    "head_epochs": Range(0, _EPOCHS, above=True), "head_learning_rate": Range(0, 1000, above=True),
    "epochs": Range(0, _EPOCHS, above=True), "batch_size": Range(0, 65_536, above=True),
    "learning_rate": Range(0, 1000, above=True), "warmup_epochs": Range(0, _EPOCHS), "weight_decay": Range(0, 1000),
    "patience": Range(0, _EPOCHS), "seed": Range(0, 2**31 - 1), "distil_temperature": Range(0, 1000, above=True),
    "distil_views": Range(0, 1000), "folds": Range(0, 100),
    "dropout": _HALF_OPEN, "momentum": _HALF_OPEN, "ema_momentum": _HALF_OPEN,
    "label_smoothing": _HALF_OPEN, "distil_weight": Range(0, 1), "kept_share": Range(0, 1),
}  # fmt: skip
"""Valid values of the other numbers."""

FINE_TUNING: dict[str, Any] = {
    "epochs": 20, "batch_size": 32, "learning_rate": 0.01, "warmup_epochs": 1.0, "weight_decay": 5e-4,
    "ema_momentum": 0.0, "patience": 2,
    "augment": AugmentConfig(
        rotation=20.0, zoom=0.05, shift=0.05, contrast=0.2, blur=0.0, noise=0.0, erasing=0.0, mixup=0.0
    ),
}  # fmt: skip
"""Defaults of pretrained backbones that differ from those of edge networks."""

RATES: dict[str, dict[str, float]] = {"vgg16": {"learning_rate": 0.001, "head_learning_rate": 0.001}}
"""Learning rates of networks without batch normalization, which diverge at higher ones."""


def _is_fold(text: str) -> bool:
    match = re.fullmatch(r"([0-9]{1,3})/([0-9]{1,3})", text)
    return match is not None and 1 <= int(match[1]) <= int(match[2]) >= 2


def _typed(cls: type[Any], values: dict[str, Any], prefix: str) -> dict[str, Any]:
    defaults = {f.name: f.default for f in dataclasses.fields(cls) if f.name != "augment"}
    typed = {}
    for name, value in values.items():
        if name not in defaults:
            known = ", ".join(sorted(defaults))
            raise ConfigError(f"unknown setting {prefix}{shown_path(name)}: expected one of {known}")
        wanted = type(defaults[name])
        if wanted is tuple and type(value) is list and all(type(item) is str for item in value):
            value = tuple(value)  # noqa: PLW2901 - TOML has lists only
        if wanted is float and type(value) is int:
            value = float(value) if abs(value) < 1e300 else math.inf  # noqa: PLW2901 - TOML writes 1 for 1.0
        if type(value) is not wanted:
            kind = "list of strings" if wanted is tuple else wanted.__name__
            raise ConfigError(f"{prefix}{name} is {shown_value(value)}: expected a value of type {kind}")
        typed[name] = value
    return typed
