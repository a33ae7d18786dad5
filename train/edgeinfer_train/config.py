"""Settings of a training run, read from TOML and saved with the run."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from edgeinfer.options.fields import option
from edgeinfer.system.files import write_file
from edgeinfer_train.errors import ConfigError
from edgeinfer_train.labels import LabelMode

EdgeName = Literal["edgenet", "edgenet-sep"]
BackboneName = Literal[
    EdgeName, "vgg16", "resnet50", "xception", "inceptionv3", "mobilenetv2", "efficientnetb0", "efficientnetlite0"
]
Precision = Literal["float32", "mixed_bfloat16"]
Monitor = Literal["val_accuracy", "val_loss"]
Phases = Literal["whole", "two-phase"]
Devices = Literal["one", "all"]
OptimizerName = Literal["sgd", "adamw"]
Schedule = Literal["cosine", "constant"]
ClassWeights = Literal["none", "balanced"]
LabelChoice = Literal["data", LabelMode]


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentConfig:
    """Augmentation of training faces. A value of 0 disables an augmentation.

    Attributes:
        rotation: Maximum rotation in degrees, in both directions, 0 or more.
        zoom: Maximum relative change of scale, 0..1 (exclusive).
        shift: Maximum shift as a share of the image side, 0 or more.
        shear: Maximum shear as a share of the image side, 0 or more.
        flip: True to mirror half of the faces.
        brightness: Maximum brightness offset as a share of the 0..255 range, 0 or more.
        contrast: Maximum relative change of contrast around the image mean, 0..1.
        low_light: Maximum excess over 1 of the exponent of a random gamma curve, which darkens shadows, 0 or more.
        small: Probability that a face is reduced to between a quarter and two thirds of its side and enlarged again.
        blur: Maximum share of the 3x3 mean that is blended into the image, 0..1.
        noise: Maximum standard deviation of added noise as a share of 0..255, 0 or more.
        erasing: Probability that a rectangle of the face is erased, 0..1.
        mixup: Probability that a batch is blended with itself (Zhang et al. 2018, arXiv:1710.09412), 0..1.
        scrambled: Share of faces that are cut into tiles and shuffled, 0..1. They are labelled with the label shares of
            the training data, so that the network is uncertain about images without a face (after Hendrycks et al.
            2019, arXiv:1812.04606).
    """

    rotation: float = 20.0
    zoom: float = 0.15
    shift: float = 0.1
    shear: float = 0.05
    flip: bool = True
    brightness: float = 0.2
    contrast: float = 0.4
    low_light: float = 0.0
    small: float = 0.0
    blur: float = 0.5
    noise: float = 0.02
    erasing: float = 0.3
    mixup: float = 0.5
    scrambled: float = 0.0

    def __post_init__(self) -> None:
        """Validate the ranges."""
        for name in ("rotation", "shift", "shear", "brightness", "low_light", "noise"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ConfigError(f"augment.{name} is {getattr(self, name)}: expected 0 or more")
        for name in ("contrast", "small", "blur", "erasing", "mixup", "scrambled"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"augment.{name} is {getattr(self, name)}: expected a value from 0 to 1")
        if not 0 <= self.zoom < 1:
            raise ConfigError(f"augment.zoom is {self.zoom}: expected a value from 0 to below 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig:
    """Settings of one run.

    Attributes:
        backbone: Name in `edgeinfer_train.networks.backbones.BACKBONES`.
        weights: Initial weights of the backbone: "imagenet", "none", the path of a run folder or a weights file, or
            "auto" for "imagenet" if Keras publishes them, else "none".
        image_size: Side of the square input in pixels; 0 uses the backbone's default.
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
        class_weights: "balanced" weights faces by the inverse frequency of their label, "none" weights all equally.
        teachers: Run folders or `.keras` files whose averaged predictions are used as additional targets.
        distil_temperature: Temperature that softens both distributions of the distillation loss.
        distil_weight: Share of the distillation loss in the total loss, 0..1.
        distil_views: Number of augmented copies of each face for which the teachers' predictions are computed once;
            epochs use them in turn. 0 computes the predictions in each training step.
        patience: Epochs without improvement of `monitor` before training stops.
        monitor: Validation metric that selects the kept epoch.
        precision: Keras dtype policy of the training step; the saved model is float32.
        devices: "all" splits each batch over all devices of the backend, see `edgeinfer_train.training.devices`.
        seed: Seed of initial weights, order, mixup and augmentation.
        tensorboard: True to write TensorBoard logs into the run folder.
        augment: Augmentation of training faces.

    Fields with option metadata are options of `edgeinfer-train fit`, too.

    Example:
        >>> config = FitConfig.for_backbone("mobilenetv2").replace(epochs=5)
        >>> config.epochs, config.learning_rate
        (5, 0.01)
    """

    title: ClassVar[str] = "Settings"

    backbone: BackboneName = option("edgenet", "Network to train.", title="Network")
    weights: str = option(
        "auto",
        "Initial weights; PATH is a run folder or a file. Default: imagenet if Keras publishes them.",
        title="Network",
        metavar="imagenet|none|PATH",
    )
    image_size: int = option(0, "Side of the square input in pixels; 0 uses the backbone's default.", title="Network")
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
    class_weights: ClassWeights = option("none", "balanced: weight faces by inverse label frequency.", title="Data")
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
        for name in (
            "width", "head_epochs", "head_learning_rate", "epochs", "batch_size", "learning_rate",
            "distil_temperature",
        ):  # fmt: skip
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ConfigError(f"`{name}` is {getattr(self, name)}: expected a value above 0")
        for name in ("image_size", "limit", "warmup_epochs", "weight_decay", "patience", "seed", "distil_views"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ConfigError(f"`{name}` is {getattr(self, name)}: expected 0 or more")
        for name in ("dropout", "momentum", "ema_momentum", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"`{name}` is {getattr(self, name)}: expected a value from 0 to below 1")
        if not 0 <= self.distil_weight <= 1:
            raise ConfigError(f"`distil_weight` is {self.distil_weight}: expected a value from 0 to 1")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in get_args(choices):
                raise ConfigError(
                    f"`{name}` is {getattr(self, name)!r}: expected one of {', '.join(get_args(choices))}"
                )
        self._check_combinations()

    def _check_combinations(self) -> None:
        """Validate combinations of settings."""
        if self.trainable_layers < -1:
            raise ConfigError(f"`trainable_layers` is {self.trainable_layers}: expected -1 for all, 0 or more")
        if self.width != 1 and self.backbone not in get_args(EdgeName):
            raise ConfigError(f"`width` is {self.width}: only edge networks have a width, not {self.backbone}")
        if self.distil_views and not (self.teachers and self.distil_temperature == 1):
            raise ConfigError(
                f"`distil_views` is {self.distil_views}: views need teachers and a `distil_temperature` of 1"
            )
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
        weights = Path(self.weights).name
        return {**self.to_mapping(), "weights": weights, "teachers": [Path(teacher).name for teacher in self.teachers]}

    def replace(self, **changes: Any) -> FitConfig:
        """Return a copy with changed settings; None keeps a setting."""
        return dataclasses.replace(self, **{k: v for k, v in changes.items() if v is not None})


CHOICES: dict[str, Any] = {
    "backbone": BackboneName, "phases": Phases, "optimizer": OptimizerName, "schedule": Schedule,
    "class_weights": ClassWeights, "precision": Precision, "monitor": Monitor, "label_mode": LabelChoice,
    "devices": Devices,
}  # fmt: skip

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


def load_config(path: Path) -> FitConfig:
    """Read settings from a TOML file.

    Raises:
        ConfigError: The file cannot be read, is not TOML, or contains an invalid setting.
    """
    try:
        return FitConfig.from_mapping(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"cannot read the config {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def save_config(config: FitConfig, path: Path) -> None:
    """Write settings as TOML."""
    import tomli_w  # noqa: PLC0415 - only needed by `fit`

    write_file(path, tomli_w.dumps(config.to_mapping()))


def _typed(cls: type[Any], values: dict[str, Any], prefix: str) -> dict[str, Any]:
    defaults = {f.name: f.default for f in dataclasses.fields(cls) if f.name != "augment"}
    typed = {}
    for name, value in values.items():
        if name not in defaults:
            raise ConfigError(f"unknown setting {prefix}{name}: expected one of {', '.join(sorted(defaults))}")
        wanted = type(defaults[name])
        if wanted is tuple and type(value) is list and all(type(item) is str for item in value):
            value = tuple(value)  # noqa: PLW2901 - TOML has lists only
        if wanted is float and type(value) is int:
            value = float(value)  # noqa: PLW2901 - TOML writes 1 for 1.0
        if type(value) is not wanted:
            kind = "list of strings" if wanted is tuple else wanted.__name__
            raise ConfigError(f"{prefix}{name} is {value!r}: expected a value of type {kind}")
        typed[name] = value
    return typed
