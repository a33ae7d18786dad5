"""The model to export, with its labels and training data: read from a run folder, a `.keras` file or memory."""

from __future__ import annotations

import dataclasses
import zipfile
from dataclasses import dataclass
from pathlib import Path

import keras

from edgeinfer.errors import EdgeInferError, UsageError
from edgeinfer.results import Colour
from edgeinfer_export.errors import ExportError, first_line
from edgeinfer_train.datasets.load import read_info, split_files
from edgeinfer_train.errors import DataError
from edgeinfer_train.networks.model import INFO_MEMBER, MODEL_FILE, ModelInfo, load_model


@dataclass(frozen=True, slots=True)
class Source:
    """A model that is ready for conversion.

    Attributes:
        name: Path of the file, or name of the Keras model.
        model: Functional model from (B, H, W, C) uint8 to (B, K) float32 logits.
        info: Labels in the order of the logits, and training data.
        colour: Colour format of the input.
    """

    name: str
    model: keras.Model
    info: ModelInfo
    colour: Colour


def read_source(source: Path | keras.Model, *, labels: tuple[str, ...] = (), data: Path | None = None) -> Source:
    """Read a model from a run folder, a `.keras` file or memory.

    A file written by `edgeinfer-train fit` contains its labels and data set; `labels` then selects columns of the
    head. Any other model requires `labels`, one for each logit, and `data`.

    Args:
        source: Run folder, `.keras` file or Keras model.
        labels: Labels in the order of the published logits. Empty keeps all labels of the file.
        data: Prepared folder with the training data.

    Raises:
        UsageError: `labels` or `data` is missing, or the model has no such label.
        ModelNotFoundError: The file does not exist.
        ModelError: The file is not a Keras model.
        ExportError: The file is damaged, or the model does not map faces to logits.
        DataError: The data cannot be used.
    """
    if isinstance(source, keras.Model):
        name, model, info = source.name, source, _describe_model(source.name, labels, data)
    else:
        path = source / MODEL_FILE if source.is_dir() else source
        name = str(path)
        model, info = _load(path, labels, data)
    _check_signature(name, model, info)
    selected = labels or info.labels
    unknown = [label for label in selected if label not in info.labels]
    if unknown:
        raise UsageError(f"{name} has the labels {' '.join(info.labels)}, not {' '.join(unknown)}")
    with_head = _with_logits_head(name, model, info.labels, selected)
    return Source(name, with_head, _select_labels(info, selected), _colour(model))


def _load(path: Path, labels: tuple[str, ...], data: Path | None) -> tuple[keras.Model, ModelInfo]:
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as file:
                if INFO_MEMBER not in file.namelist():
                    return keras.saving.load_model(path, compile=False), _describe_model(str(path), labels, data)
        return load_model(path)
    except EdgeInferError:
        raise
    except Exception as error:  # the type of the exception depends on the damaged part of the archive
        raise ExportError(f"{path} is damaged: {first_line(error)}") from error


def _describe_model(name: str, labels: tuple[str, ...], data: Path | None) -> ModelInfo:
    """Return the description of a model whose file contains none."""
    if not labels or data is None:
        raise UsageError(
            f"{name} contains neither its labels nor its data set: pass `labels`, one for each logit in order, and "
            "`data`, a prepared folder"
        )
    dataset = read_info(data)
    missing = [label for label in labels if label not in dataset.labels]
    if missing:
        available = " ".join(dataset.labels)
        raise DataError(
            f"{data} has the labels {available}, not {' '.join(missing)}: prepare the data with the labels of the model"
        )
    counts = dict.fromkeys(labels, 0)
    for _, index in split_files(data, "train", labels):
        counts[labels[index]] += 1
    total = sum(counts.values())
    prior = {label: round(count / total, 6) for label, count in counts.items()}
    return ModelInfo("unnamed", labels, dataset.name, dataset.protocol(), prior, {})


def _check_signature(name: str, model: keras.Model, info: ModelInfo) -> None:
    one = len(model.inputs) == len(model.outputs) == 1
    if not one or len(model.input_shape) != 4 or model.output_shape != (None, len(info.labels)):
        raise ExportError(
            f"{name} maps {model.input_shape} to {model.output_shape}: "
            f"expected one batch of faces and one logit for each of {len(info.labels)} labels"
        )
    if model.inputs[0].dtype != "uint8" or model.input_shape[-1] not in (1, 3) or None in model.input_shape[1:]:
        raise ExportError(
            f"{name} takes {model.inputs[0].dtype} faces of shape {model.input_shape[1:]}: "
            "expected raw uint8 of a fixed size with 1 or 3 channels, scaled inside the model"
        )


def _with_logits_head(name: str, model: keras.Model, labels: tuple[str, ...], selected: tuple[str, ...]) -> keras.Model:
    """Return a Functional model whose head outputs the selected logits; all other weights are shared."""
    if isinstance(model, keras.Sequential):
        outputs = image = keras.Input(model.input_shape[1:], dtype="uint8", name="image")
        for layer in model.layers:
            outputs = layer(outputs)
        model = keras.Model(image, outputs)
    last = model.layers[-1]
    linear, softmax = keras.activations.linear, keras.activations.softmax
    if not isinstance(last, keras.layers.Dense) or last.activation not in (linear, softmax):
        raise ExportError(f"{name} ends with the layer {last.name}: expected a dense layer that outputs the logits")
    if selected == labels and last.activation is linear:
        return model
    columns = [labels.index(label) for label in selected]
    head = keras.layers.Dense(len(selected), dtype="float32", name="logits", use_bias=last.use_bias)
    with_head = keras.Model(model.inputs, head(last.input))
    head.set_weights([weights[..., columns] for weights in last.get_weights()])
    return with_head


def _select_labels(info: ModelInfo, selected: tuple[str, ...]) -> ModelInfo:
    if selected == info.labels:
        return info
    shares = [info.prior.get(label, 0.0) for label in selected]
    total = sum(shares) or 1.0
    prior = {label: round(share / total, 6) for label, share in zip(selected, shares, strict=True)}
    return dataclasses.replace(info, labels=selected, prior=prior)


def _colour(model: keras.Model) -> Colour:
    # Keras models with three channels expect RGB order; the backbones of edgeinfer-train take one grey channel.
    return "grey" if model.input_shape[-1] == 1 else "rgb"
