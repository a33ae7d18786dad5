"""Models and their `.keras` files: raw uint8 faces to logits, with labels and training metadata in the same file."""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
from keras import layers

from edgeinfer.errors import ModelError, ModelNotFoundError, OutputError, UsageError
from edgeinfer.system import checkout
from edgeinfer.system.files import replacing
from edgeinfer_train.config import BackboneName, Precision
from edgeinfer_train.networks.backbones import BACKBONES

MODEL_FILE = "model.keras"
WEIGHTS_FILE = "model.weights.h5"
INFO_MEMBER = "edgeinfer.json"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Metadata in a `.keras` file.

    Attributes:
        backbone: Registry name of the backbone.
        labels: Names of the logits, in order.
        dataset: Name of the training data.
        label_mode: Human-readable rule that produced the training labels.
        prior: Share of each label among the training faces; sums to 1.
        validation: Metrics of the kept epoch on the validation split.
        settings: Settings of the run, as in its `config.toml`; empty in files from earlier versions.
        commit: Commit of the code that trained the model, see `source_commit`; "" if unknown.
        held_out: Validation faces as paths relative to the data folder, if the run split the faces itself; else empty.
    """

    backbone: str
    labels: tuple[str, ...]
    dataset: str
    label_mode: str
    prior: dict[str, float]
    validation: dict[str, float]
    settings: dict[str, Any] = field(default_factory=dict)
    commit: str = ""
    held_out: tuple[str, ...] = ()


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
        backbone: Registry name.
        labels: Number of logits.
        image_size: Side of the square input in pixels; 0 uses the backbone's default.
        width: Channel multiplier of an edge network.
        dropout: Share of features that are dropped before the head during training, 0..1.
        precision: Dtype policy of the layers. Weights and logits are always float32.

    Returns:
        A Functional model from `image` (B, S, S, 1) uint8 to `logits` (B, labels) float32.

    Examples:
        >>> core = build_core("edgenet", 7, width=0.25)
        >>> core.input_shape, core.output_shape
        ((None, 48, 48, 1), (None, 7))
    """
    spec = BACKBONES[backbone]
    side = image_size or spec.image_size
    with _dtype_policy(precision):
        image = keras.Input((side, side, 1), dtype="uint8", name="image")
        features = spec.build_features(image, width)
        if dropout:
            features = layers.Dropout(dropout)(features)
        logits = layers.Dense(labels, dtype="float32", name="logits")(features)
    return keras.Model(image, logits, name=backbone.replace("-", "_"))


def backbone_of(core: keras.Model) -> keras.Model:
    """Return the part of a core before dropout and head, from `image` to feature vectors. The weights are shared."""
    last = core.layers[-2]
    return keras.Model(core.input, last.input if isinstance(last, layers.Dropout) else last.output)


def freeze(core: keras.Model, trainable_layers: int) -> None:
    """Make only the head and the last layers of the backbone trainable.

    Batch normalization in a frozen layer uses its stored statistics in training too, and does not update them.

    Args:
        core: Network built by `build_core`.
        trainable_layers: Number of trainable Keras layers at the end of the backbone, counting layers without
            weights, as in `model.layers[-N:]`; 0 freezes all, -1 none.
    """
    backbone = backbone_of(core).layers
    frozen = 0 if trainable_layers < 0 else max(0, len(backbone) - trainable_layers)
    for position, layer in enumerate(backbone):
        layer.trainable = position >= frozen


def with_precision(core: keras.Model, precision: Precision) -> keras.Model:
    """Return a core with the same weights that computes under a dtype policy. Its logits remain float32."""
    if precision == "float32":
        return core

    def clone_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if layer is not core.layers[-1] and not isinstance(layer, layers.InputLayer):
            config["dtype"] = precision
        return type(layer).from_config(config)

    clone = keras.models.clone_model(core, clone_function=clone_layer, recursive=True)
    clone.set_weights(core.get_weights())
    return clone


@contextlib.contextmanager
def _dtype_policy(precision: Precision) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def check_model_path(out: Path) -> None:
    """Validate the path of a `.keras` file to write.

    Raises:
        UsageError: The suffix is not `.keras`.
        OutputError: The parent folder does not exist.
    """
    if out.suffix.lower() != ".keras":
        raise UsageError(f"invalid model file {out}: expected a .keras file")
    if not out.parent.is_dir():
        raise OutputError(f"cannot write {out}: the folder {out.parent} does not exist; create it first")


def save_model(model: keras.Model, info: ModelInfo, path: Path) -> None:
    """Write a `.keras` file with its `ModelInfo`; an existing file is replaced once the new one is complete."""
    with replacing(path) as partial:
        model.save(partial)
        with zipfile.ZipFile(partial, "a") as file:
            file.writestr(INFO_MEMBER, json.dumps(asdict(info), indent=2))


def save_weights(model: keras.Model, path: Path) -> None:
    """Write the weights only. An existing file is replaced once the new one is complete."""
    with replacing(path) as partial:
        model.save_weights(partial)


def load_model(path: Path) -> tuple[keras.Model, ModelInfo]:
    """Load a `.keras` file written by `fit`.

    Raises:
        ModelNotFoundError: The file does not exist.
        ModelError: The file is not a Keras model, or has no `ModelInfo`.
    """
    info = read_model_info(path)
    try:
        return keras.saving.load_model(path, compile=False), info
    except (ValueError, TypeError, OSError, KeyError) as error:
        raise ModelError(f"{path} is not a Keras model that Keras {keras.__version__} can load") from error


def read_model_info(path: Path) -> ModelInfo:
    """Read the metadata of a `.keras` file without loading the network.

    Raises:
        ModelNotFoundError: The file does not exist.
        ModelError: The file is not a `.keras` file, or has no `ModelInfo`.
    """
    if not path.is_file():
        raise ModelNotFoundError(f"no model at {path}: expected a .keras file written by edgeinfer-train fit")
    try:
        with zipfile.ZipFile(path) as file:
            values: dict[str, Any] = json.loads(file.read(INFO_MEMBER))
        lists = {"labels": tuple(values["labels"]), "held_out": tuple(values.get("held_out", ()))}
        return ModelInfo(**{**values, **lists})
    except zipfile.BadZipFile as error:
        raise ModelError(f"{path} is not a .keras file: expected one written by edgeinfer-train fit") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path} has no labels or data set name: expected a file written by edgeinfer-train fit"
        ) from error


def source_commit() -> str:
    """Return the commit of the checkout that contains this file, with "-dirty" appended if files were changed.

    Returns:
        40 hexadecimal digits, or "" for an installed package or without git.
    """
    return checkout.source_commit(Path(__file__))
