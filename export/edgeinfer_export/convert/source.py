"""What is exported: a trained model with its labels and data, read from a run, a file or memory."""

from __future__ import annotations

import dataclasses
import zipfile
from dataclasses import dataclass
from pathlib import Path

import keras

from edgeinfer.errors import EdgeInferError, UsageError
from edgeinfer.results import Colour
from edgeinfer_export.convert.graph import first_line
from edgeinfer_export.errors import ExportError
from edgeinfer_train.datasets.load import read_info, split_files
from edgeinfer_train.errors import DataError
from edgeinfer_train.networks.model import INFO_MEMBER, MODEL_FILE, ModelInfo, load_model


@dataclass(frozen=True, slots=True)
class Source:
    """A model ready to be converted.

    Attributes:
        name: where it came from: the file's path, or the model's name.
        model: Functional, (B, H, W, C) uint8 to (B, K) float32 logits.
        info: its labels, in the order of the logits, and what it was trained on.
        colour: of the input's channels.
    """

    name: str
    model: keras.Model
    info: ModelInfo
    colour: Colour


def read_source(source: Path | keras.Model, *, labels: tuple[str, ...] = (), data: Path | None = None) -> Source:
    """Read a run folder, a `.keras` file, or take a model.

    A file that `edgeinfer-train fit` wrote names its labels and data; then `labels` picks some columns of the head.
    Any other model needs `labels`, one for each logit, and `data`.

    Args:
        source: where the model lies, or the model.
        labels: see above; in the order wanted.
        data: the prepared folder that it was trained on.

    Raises:
        UsageError: labels or data are missing, or a label is not the model's.
        ModelNotFoundError: there is no such file.
        ModelError: it is no Keras model.
        ExportError: it is damaged, or has another form than an expression model.
        DataError: the data cannot be used.
    """
    if isinstance(source, keras.Model):
        name, model, info = source.name, source, _ask(source.name, labels, data)
    else:
        path = source / MODEL_FILE if source.is_dir() else source
        name = str(path)
        model, info = _load(path, labels, data)
    _check_form(name, model, info)
    wanted = labels or info.labels
    unknown = [label for label in wanted if label not in info.labels]
    if unknown:
        raise UsageError(f"{name} tells apart {' '.join(info.labels)}, and not {' '.join(unknown)}")
    return Source(name, _logits(name, model, info.labels, wanted), _narrow(info, wanted), _colour(model))


def _load(path: Path, labels: tuple[str, ...], data: Path | None) -> tuple[keras.Model, ModelInfo]:
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as file:
                if INFO_MEMBER not in file.namelist():
                    return keras.saving.load_model(path, compile=False), _ask(str(path), labels, data)
        return load_model(path)
    except EdgeInferError:
        raise
    except Exception as error:  # a damaged archive makes Keras raise almost anything
        raise ExportError(f"{path} is damaged: {first_line(error)}") from error


def _ask(name: str, labels: tuple[str, ...], data: Path | None) -> ModelInfo:
    """What a model that says nothing of itself must be told."""
    if not labels or data is None:
        raise UsageError(
            f"{name} does not name its labels and data; "
            "give them with --labels, one for each logit in order, and --data"
        )
    described = read_info(data)
    missing = [label for label in labels if label not in described.labels]
    if missing:
        raise DataError(f"{data} has the labels {' '.join(described.labels)} and not {' '.join(missing)}")
    counts = dict.fromkeys(labels, 0)
    for _, index in split_files(data, "train", labels):
        counts[labels[index]] += 1
    total = sum(counts.values())
    prior = {label: round(count / total, 6) for label, count in counts.items()}
    return ModelInfo("unnamed", labels, described.name, described.protocol(), prior, {})


def _check_form(name: str, model: keras.Model, info: ModelInfo) -> None:
    one = len(model.inputs) == len(model.outputs) == 1
    if not one or len(model.input_shape) != 4 or model.output_shape != (None, len(info.labels)):
        raise ExportError(
            f"{name} maps {model.input_shape} to {model.output_shape}; "
            f"expected one batch of faces and one logit for each of {len(info.labels)} labels"
        )
    if model.inputs[0].dtype != "uint8" or model.input_shape[-1] not in (1, 3) or None in model.input_shape[1:]:
        raise ExportError(
            f"{name} takes {model.inputs[0].dtype} faces of {model.input_shape[1:]}; "
            "expected raw uint8 of a fixed size with 1 or 3 channels, scaled inside the model"
        )


def _logits(name: str, model: keras.Model, labels: tuple[str, ...], wanted: tuple[str, ...]) -> keras.Model:
    """The model as a Functional one whose head gives the wanted logits; it shares all other weights."""
    if isinstance(model, keras.Sequential):
        outputs = given = keras.Input(model.input_shape[1:], dtype="uint8", name="image")
        for layer in model.layers:
            outputs = layer(outputs)
        model = keras.Model(given, outputs)
    last = model.layers[-1]
    linear, softmax = keras.activations.linear, keras.activations.softmax
    if not isinstance(last, keras.layers.Dense) or last.activation not in (linear, softmax):
        raise ExportError(f"{name} ends in the layer {last.name}; expected a dense one that gives the logits")
    if wanted == labels and last.activation is linear:
        return model
    columns = [labels.index(label) for label in wanted]
    head = keras.layers.Dense(len(wanted), dtype="float32", name="logits", use_bias=last.use_bias)
    narrowed = keras.Model(model.inputs, head(last.input))
    head.set_weights([weights[..., columns] for weights in last.get_weights()])
    return narrowed


def _narrow(info: ModelInfo, wanted: tuple[str, ...]) -> ModelInfo:
    if wanted == info.labels:
        return info
    shares = [info.prior.get(label, 0.0) for label in wanted]
    total = sum(shares) or 1.0
    prior = {label: round(share / total, 6) for label, share in zip(wanted, shares, strict=True)}
    return dataclasses.replace(info, labels=wanted, prior=prior)


def _colour(model: keras.Model) -> Colour:
    # Keras names three channels red, green and blue; every backbone of ours takes grey.
    return "grey" if model.input_shape[-1] == 1 else "rgb"
