"""Every setting of a training run, read from TOML and saved beside what it produced."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from edgeinfer_train.errors import ConfigError

BackboneName = Literal["edgenet", "edgenet-sep"]
Precision = Literal["float32", "mixed_bfloat16"]
Monitor = Literal["val_accuracy", "val_loss"]


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
        blur: largest blend, 0..1, with the 3x3 mean of the image.
        noise: standard deviation of added sensor noise, as a share of 0..255.
        erasing: probability that a rectangle of the face is hidden.
        mixup: probability that a batch is blended with itself (Zhang et al. 2018, arXiv:1710.09412).
    """

    rotation: float = 20.0
    zoom: float = 0.15
    shift: float = 0.1
    shear: float = 0.05
    flip: bool = True
    brightness: float = 0.2
    contrast: float = 0.4
    blur: float = 0.5
    noise: float = 0.02
    erasing: float = 0.3
    mixup: float = 0.5

    def __post_init__(self) -> None:
        """Check every bound."""
        for name in ("rotation", "shift", "shear", "brightness", "noise"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ConfigError(f"augment.{name} is {getattr(self, name)}; it must be 0 or more")
        for name in ("contrast", "blur", "erasing", "mixup"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"augment.{name} is {getattr(self, name)}; it must be in 0..1")
        if not 0 <= self.zoom < 1:
            raise ConfigError(f"augment.zoom is {self.zoom}; it must be in 0..1, 1 left out")


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig:
    """The settings of one run.

    Attributes:
        backbone: a name of `edgeinfer_train.backbones.BACKBONES`.
        limit: training faces at most, drawn evenly; 0 takes all.
        width: factor on the channels of an edge network.
        dropout: share of features dropped before the head.
        epochs: passes over the training faces at most.
        batch_size: faces per step.
        learning_rate: peak of the cosine schedule.
        warmup_epochs: epochs of linear rise to the peak (fractions allowed).
        momentum: of SGD with Nesterov's step.
        weight_decay: decoupled, scaled by the learning rate, on kernels only.
        ema_momentum: moving average of the weights a step; 0 turns it off.
        patience: epochs without a better `monitor` before the run stops.
        monitor: the validation figure that chooses the kept epoch.
        precision: Keras dtype policy of the training step; the saved model is float32.
        seed: of initial weights, order, mixup and augmentation.
        augment: see `AugmentConfig`.
    """

    backbone: BackboneName = "edgenet"
    limit: int = 0
    width: float = 1.0
    dropout: float = 0.3
    epochs: int = 40
    batch_size: int = 64
    learning_rate: float = 0.08
    warmup_epochs: float = 2.0
    momentum: float = 0.9
    weight_decay: float = 5e-3
    ema_momentum: float = 0.998
    patience: int = 12
    monitor: Monitor = "val_accuracy"
    precision: Precision = "mixed_bfloat16"
    seed: int = 0
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        """Check every bound."""
        for name in ("width", "epochs", "batch_size", "learning_rate"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be more than 0")
        for name in ("limit", "warmup_epochs", "weight_decay", "patience", "seed"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be 0 or more")
        for name in ("dropout", "momentum", "ema_momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be in 0..1, 1 left out")
        for name, choices in {"backbone": BackboneName, "precision": Precision, "monitor": Monitor}.items():
            if getattr(self, name) not in get_args(choices):
                raise ConfigError(f"{name} is {getattr(self, name)!r}; choose one of {', '.join(get_args(choices))}")

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
        return cls(**_typed(cls, values, ""), augment=AugmentConfig(**_typed(AugmentConfig, augment, "augment.")))

    def to_mapping(self) -> dict[str, Any]:
        """The settings as plain values, ready for TOML or JSON."""
        return dataclasses.asdict(self)

    def replace(self, **changes: Any) -> FitConfig:
        """A copy with some settings changed; None means unchanged."""
        return dataclasses.replace(self, **{k: v for k, v in changes.items() if v is not None})


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
        if wanted is float and type(value) is int:
            value = float(value)  # noqa: PLW2901 - TOML writes 1 for 1.0
        if type(value) is not wanted:
            raise ConfigError(f"{prefix}{name} is {value!r}; it must be of type {wanted.__name__}")
        typed[name] = value
    return typed
