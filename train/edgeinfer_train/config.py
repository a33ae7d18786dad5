"""Every setting of a training run, read from TOML and saved beside what it produced."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

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
    """How training faces are varied. Zero turns a variation off.

    Attributes:
        rotation: largest angle, in degrees, either way.
        zoom: largest relative change of scale.
        shift: largest move, as a share of the image side.
        shear: largest shear, as a share of the image side.
        flip: whether half of the faces are mirrored.
        brightness: largest offset, as a share of the 0..255 range.
        contrast: largest relative change of contrast around the image mean.
        low_light: how far the exponent of a random gamma curve goes above 1, which darkens shadows most.
        small: probability that a face is reduced to a quarter to two thirds of the side and enlarged again.
        blur: largest blend, 0..1, with the 3x3 mean of the image.
        noise: standard deviation of added sensor noise, as a share of 0..255.
        erasing: probability that a rectangle of the face is hidden.
        mixup: probability that a batch is blended with itself (Zhang et al. 2018, arXiv:1710.09412).
        scrambled: share of faces cut into tiles that change places. What is left is no face, and the shares of the
            training labels are taught for it, so that the network doubts where it sees none (after Hendrycks et al.
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
        """Check every bound."""
        for name in ("rotation", "shift", "shear", "brightness", "low_light", "noise"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ConfigError(f"augment.{name} is {getattr(self, name)}; it must be 0 or more")
        for name in ("contrast", "small", "blur", "erasing", "mixup", "scrambled"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"augment.{name} is {getattr(self, name)}; it must be in 0..1")
        if not 0 <= self.zoom < 1:
            raise ConfigError(f"augment.zoom is {self.zoom}; it must be in 0..1, 1 left out")


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig:
    """The settings of one run.

    Attributes:
        backbone: a name of `edgeinfer_train.networks.backbones.BACKBONES`.
        weights: what the backbone starts from: "imagenet", "none", the path of a run or of a file with weights,
            or "auto", which is imagenet where Keras publishes such weights and none elsewhere.
        image_size: side of the square input in pixels; 0 takes the backbone's own.
        limit: training faces at most, drawn evenly; 0 takes all.
        label_mode: what is learned: "argmax" the winning label, "majority" that of faces with a majority alone,
            "votes" the shares of the votes; "data" is the data set's own.
        width: factor on the channels of an edge network.
        dropout: share of features dropped before the head.
        trainable_layers: how many of the backbone's last layers learn; 0 is none, -1 all.
        phases: "whole" trains these layers and the head from the start, "two-phase" the head alone before.
        head_epochs: length of the first of two phases; part of `epochs`.
        head_learning_rate: constant rate of the first of two phases.
        epochs: passes over the training faces at most.
        batch_size: faces per step.
        optimizer: "sgd" with Nesterov's step (Sutskever et al. 2013) or "adamw" (arXiv:1711.05101).
        learning_rate: peak of the schedule.
        schedule: what follows the warm-up: "cosine" to 0, or "constant".
        warmup_epochs: epochs of linear rise to the peak (fractions allowed).
        momentum: of SGD; for AdamW the decay of the first moment.
        weight_decay: decoupled, scaled by the learning rate, on kernels only.
        ema_momentum: moving average of the weights a step; 0 turns it off.
        label_smoothing: share of a label that is spread evenly over all.
        class_weights: "balanced" weighs a face by the inverse share of its label; "none" weighs all alike.
        teachers: run folders or `.keras` files whose averaged answers are learned from, too.
        distil_temperature: softens both answers before they are compared.
        distil_weight: share of the loss that the teachers make.
        distil_views: varied copies of each face that the teachers are asked about, once; they then take turns as
            epochs do. 0 asks about every face of every epoch anew.
        patience: epochs without a better `monitor` before the run stops.
        monitor: the validation figure that chooses the kept epoch.
        precision: Keras dtype policy of the training step; the saved model is float32.
        devices: "all" spreads each batch over every backend device, see `edgeinfer_train.training.devices`.
        seed: of initial weights, order, mixup and augmentation.
        tensorboard: write logs for TensorBoard into the run folder.
        augment: see `AugmentConfig`.
    """

    backbone: BackboneName = "edgenet"
    weights: str = "auto"
    image_size: int = 0
    limit: int = 0
    label_mode: LabelChoice = "data"
    width: float = 1.0
    dropout: float = 0.3
    trainable_layers: int = -1
    phases: Phases = "whole"
    head_epochs: int = 2
    head_learning_rate: float = 0.01
    epochs: int = 40
    batch_size: int = 64
    optimizer: OptimizerName = "sgd"
    learning_rate: float = 0.08
    schedule: Schedule = "cosine"
    warmup_epochs: float = 2.0
    momentum: float = 0.9
    weight_decay: float = 5e-3
    ema_momentum: float = 0.998
    label_smoothing: float = 0.0
    class_weights: ClassWeights = "none"
    teachers: tuple[str, ...] = ()
    distil_temperature: float = 4.0
    distil_weight: float = 0.5
    distil_views: int = 0
    patience: int = 12
    monitor: Monitor = "val_accuracy"
    precision: Precision = "mixed_bfloat16"
    devices: Devices = "one"
    seed: int = 0
    tensorboard: bool = False
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        """Check every bound."""
        for name in (
            "width", "head_epochs", "head_learning_rate", "epochs", "batch_size", "learning_rate",
            "distil_temperature",
        ):  # fmt: skip
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be more than 0")
        for name in ("image_size", "limit", "warmup_epochs", "weight_decay", "patience", "seed", "distil_views"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be 0 or more")
        for name in ("dropout", "momentum", "ema_momentum", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be in 0..1, 1 left out")
        if not 0 <= self.distil_weight <= 1:
            raise ConfigError(f"distil_weight is {self.distil_weight}; it must be in 0..1")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in get_args(choices):
                raise ConfigError(f"{name} is {getattr(self, name)!r}; choose one of {', '.join(get_args(choices))}")
        self._check_together()

    def _check_together(self) -> None:
        """Check what depends on more than one setting."""
        if self.trainable_layers < -1:
            raise ConfigError(f"trainable_layers is {self.trainable_layers}; it must be -1 for all, 0 or more")
        if self.width != 1 and self.backbone not in get_args(EdgeName):
            raise ConfigError(f"width is {self.width}, but {self.backbone} has one width; only edge networks scale")
        if self.distil_views and not (self.teachers and self.distil_temperature == 1):
            raise ConfigError(
                f"distil_views is {self.distil_views}; views are for runs with teachers and a distil_temperature of 1"
            )
        if self.head_phase >= self.epochs:
            raise ConfigError(f"head_epochs is {self.head_epochs} of {self.epochs} epochs; leave some for the rest")

    @property
    def head_phase(self) -> int:
        """Epochs that train the head alone."""
        return self.head_epochs if self.phases == "two-phase" else 0

    @classmethod
    def for_backbone(cls, backbone: str) -> FitConfig:
        """The defaults: for edge networks a training from scratch, for all others fine-tuning.

        Raises:
            ConfigError: there is no such backbone.
        """
        changes = {} if backbone in get_args(EdgeName) else FINE_TUNING | RATES.get(backbone, {})
        return cls(**{"backbone": backbone, **changes})

    @classmethod
    def from_mapping(cls, values: dict[str, Any]) -> FitConfig:
        """Build a config from plain values, refusing names and types that it does not know.

        Raises:
            ConfigError: an unknown setting, a wrong type or a value out of bounds.
        """
        values = dict(values)
        augment = values.pop("augment", {})
        if not isinstance(augment, dict):
            raise ConfigError("augment is a table of settings, written [augment]")
        typed = _typed(cls, values, "")
        base = cls.for_backbone(typed.get("backbone", "edgenet"))
        varied = dataclasses.replace(base.augment, **_typed(AugmentConfig, augment, "augment."))
        return dataclasses.replace(base, **typed, augment=varied)

    def to_mapping(self) -> dict[str, Any]:
        """The settings as plain values, ready for TOML or JSON."""
        return {**dataclasses.asdict(self), "teachers": list(self.teachers)}

    def published(self) -> dict[str, Any]:
        """The settings for a file that others read: of a path, the name alone."""
        weights = Path(self.weights).name
        return {**self.to_mapping(), "weights": weights, "teachers": [Path(teacher).name for teacher in self.teachers]}

    def replace(self, **changes: Any) -> FitConfig:
        """A copy with some settings changed; None means unchanged."""
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
"""Where the defaults for pretrained backbones differ from those for edge networks."""

RATES: dict[str, dict[str, float]] = {"vgg16": {"learning_rate": 0.001, "head_learning_rate": 0.001}}
"""Without batch normalization a network bears lower rates only."""


def load_config(path: Path) -> FitConfig:
    """Read a run's settings from a TOML file.

    Raises:
        ConfigError: the file cannot be read, is no TOML, or holds a wrong setting.
    """
    try:
        return FitConfig.from_mapping(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"cannot read the config {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def save_config(config: FitConfig, path: Path) -> None:
    """Write the resolved settings as TOML."""
    import tomli_w  # noqa: PLC0415 - only `fit` needs it

    path.write_text(tomli_w.dumps(config.to_mapping()), encoding="utf-8")


def _typed(cls: type[Any], values: dict[str, Any], prefix: str) -> dict[str, Any]:
    defaults = {f.name: f.default for f in dataclasses.fields(cls) if f.name != "augment"}
    typed = {}
    for name, value in values.items():
        if name not in defaults:
            raise ConfigError(f"unknown setting {prefix}{name}; known are {', '.join(sorted(defaults))}")
        wanted = type(defaults[name])
        if wanted is tuple and type(value) is list and all(type(item) is str for item in value):
            value = tuple(value)  # noqa: PLW2901 - TOML has lists alone
        if wanted is float and type(value) is int:
            value = float(value)  # noqa: PLW2901 - TOML writes 1 for 1.0
        if type(value) is not wanted:
            kind = "list of text" if wanted is tuple else wanted.__name__
            raise ConfigError(f"{prefix}{name} is {value!r}; it must be of type {kind}")
        typed[name] = value
    return typed
