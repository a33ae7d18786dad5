"""The model that is saved: raw uint8 faces in, logits out, and what it was trained on in the same file."""

from __future__ import annotations

import contextlib
import json
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
from keras import layers

from edgeinfer.errors import ModelError, ModelNotFoundError, OutputError, UsageError
from edgeinfer_train.config import BackboneName, Precision
from edgeinfer_train.networks.backbones import BACKBONES

MODEL_FILE = "model.keras"
WEIGHTS_FILE = "model.weights.h5"
INFO_MEMBER = "edgeinfer.json"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a `.keras` file of ours says of itself.

    Attributes:
        backbone: registry name.
        labels: names of the logits, in order.
        dataset: name of the training data.
        label_mode: the rule that made its labels.
        prior: share of each label among the training faces, sums to 1.
        validation: figures of the kept epoch on the validation split.
        settings: of the run, as its `config.toml` holds them; empty in files of earlier versions.
        commit: of the code that trained it, see `source_commit`; "" where that is not known.
    """

    backbone: str
    labels: tuple[str, ...]
    dataset: str
    label_mode: str
    prior: dict[str, float]
    validation: dict[str, float]
    settings: dict[str, Any] = field(default_factory=dict)
    commit: str = ""


def build_core(
    backbone: BackboneName,
    labels: int,
    *,
    image_size: int = 0,
    width: float = 1.0,
    dropout: float = 0.0,
    precision: Precision = "float32",
) -> keras.Model:
    """Build the network that is saved and exported.

    Args:
        backbone: registry name.
        labels: number of logits.
        image_size: side of the square input in pixels; 0 takes the backbone's own.
        width: factor on the channels of an edge network.
        dropout: share of features dropped before the head while training.
        precision: dtype policy of its layers; weights and logits are float32 under either.

    Returns:
        A Functional model from `image` (B, S, S, 1) uint8 to `logits` (B, labels) float32.
    """
    spec = BACKBONES[backbone]
    side = image_size or spec.size
    with _policy(precision):
        image = keras.Input((side, side, 1), dtype="uint8", name="image")
        features = spec.features(image, width)
        if dropout:
            features = layers.Dropout(dropout)(features)
        logits = layers.Dense(labels, dtype="float32", name="logits")(features)
    return keras.Model(image, logits, name=backbone.replace("-", "_"))


def backbone_of(core: keras.Model) -> keras.Model:
    """The part of a core before its head and dropout, from `image` to feature vectors; it shares the weights."""
    last = core.layers[-2]
    return keras.Model(core.input, last.input if isinstance(last, layers.Dropout) else last.output)


def freeze(core: keras.Model, trainable_layers: int) -> None:
    """Let only the head and the last layers of the backbone learn.

    Batch normalization in a frozen layer keeps its statistics and uses them in training, too.

    Args:
        core: a network that `build_core` made.
        trainable_layers: how many of the backbone's Keras layers learn, counted from its end, those without
            weights included, as `model.layers[-N:]` does; 0 is none, -1 all.
    """
    backbone = backbone_of(core).layers
    frozen = 0 if trainable_layers < 0 else max(0, len(backbone) - trainable_layers)
    for position, layer in enumerate(backbone):
        layer.trainable = position >= frozen


def in_precision(core: keras.Model, precision: Precision) -> keras.Model:
    """A core that computes under a dtype policy, with the same weights; its logits are float32 under either."""
    if precision == "float32":
        return core

    def under_policy(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if layer is not core.layers[-1] and not isinstance(layer, layers.InputLayer):
            config["dtype"] = precision
        return type(layer).from_config(config)

    clone = keras.models.clone_model(core, clone_function=under_policy, recursive=True)
    clone.set_weights(core.get_weights())
    return clone


@contextlib.contextmanager
def _policy(precision: Precision) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def check_model_path(out: Path) -> None:
    """Validate the path of a `.keras` file to write.

    Raises:
        UsageError: the suffix is not `.keras`.
        OutputError: the parent folder does not exist.
    """
    if out.suffix.lower() != ".keras":
        raise UsageError(f"invalid model file {out}: expected a .keras file")
    if not out.parent.is_dir():
        raise OutputError(f"cannot write {out}: the folder {out.parent} does not exist; create it first")


def save_model(model: keras.Model, info: ModelInfo, path: Path) -> None:
    """Write a `.keras` file with its `ModelInfo` inside; the old file stays until the new one is whole."""
    partial = path.with_name(f".{path.stem}.partial.keras")
    model.save(partial)
    with zipfile.ZipFile(partial, "a") as file:
        file.writestr(INFO_MEMBER, json.dumps(asdict(info), indent=2))
    partial.replace(path)


def source_commit() -> str:
    """The commit of the checkout that this code runs from, "-dirty" behind it where files were changed.

    Returns:
        40 hexadecimal digits, or "" for an installed package or a machine without git.
    """
    here = Path(__file__)
    try:
        for arguments in (["ls-files", "--error-unmatch", here.name],
                          ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]):  # fmt: skip
            done = subprocess.run(  # noqa: S603 - arguments of our own
                ["git", *arguments],  # noqa: S607
                cwd=here.parent, capture_output=True, text=True, check=True, timeout=10,
            )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def save_weights(model: keras.Model, path: Path) -> None:
    """Write the weights alone; the old file stays until the new one is whole."""
    partial = path.with_name(f".partial.{path.name}")
    model.save_weights(partial)
    partial.replace(path)


def load_model(path: Path) -> tuple[keras.Model, ModelInfo]:
    """Read a `.keras` file that `fit` wrote.

    Raises:
        ModelNotFoundError: no such file.
        ModelError: it is no Keras model, or not one of ours.
    """
    info = read_model_info(path)
    try:
        return keras.saving.load_model(path, compile=False), info
    except (ValueError, TypeError, OSError, KeyError) as error:
        raise ModelError(f"{path} is not a Keras model that this Keras {keras.__version__} can load") from error


def read_model_info(path: Path) -> ModelInfo:
    """Read labels, data set and prior from a `.keras` file.

    Raises:
        ModelNotFoundError: no such file.
        ModelError: it is no `.keras` file, or not one of ours.
    """
    if not path.is_file():
        raise ModelNotFoundError(f"no model at {path}; expected a .keras file that `edgeinfer-train fit` wrote")
    try:
        with zipfile.ZipFile(path) as file:
            values: dict[str, Any] = json.loads(file.read(INFO_MEMBER))
        return ModelInfo(**{**values, "labels": tuple(values["labels"])})
    except zipfile.BadZipFile as error:
        raise ModelError(f"{path} is not a .keras file") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path} does not name its labels and data; expected a file that `edgeinfer-train fit` wrote"
        ) from error
