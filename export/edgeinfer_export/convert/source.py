"""The model to export, with its labels and training data: read from a run folder, a `.keras` file or memory."""

from __future__ import annotations

import dataclasses
import tempfile
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import keras

from edgeinfer.errors import EdgeInferError, ModelNotFoundError, UsageError, one_line
from edgeinfer.results import Colour
from edgeinfer_export.convert.admission import check_model_file, is_hdf5
from edgeinfer_export.convert.graph import Conversion, to_onnx
from edgeinfer_export.convert.onnx_file import OnnxClassifier, is_onnx
from edgeinfer_export.convert.rewrite import to_logits_model
from edgeinfer_export.errors import ExportError
from edgeinfer_export.options import InputRange
from edgeinfer_export.verify.verdict import Reference
from edgeinfer_train.datasets.load import read_info, split_files
from edgeinfer_train.errors import DataError
from edgeinfer_train.networks.model import INFO_MEMBER, MODEL_FILE, ModelInfo, read_model_info


@dataclass(frozen=True, slots=True)
class Source:
    """A model that is ready for conversion.

    Attributes:
        name: Path of the file, or name of the Keras model.
        model: Network that computes the logits: a Functional Keras model, or an ONNX classifier.
        info: Labels in the order of the logits, and training data.
        colour: Colour format of the input.
        convert: Function that returns the float32 graph.
    """

    name: str
    model: Reference
    info: ModelInfo
    colour: Colour
    convert: Callable[[], Conversion]


def read_source(
    source: Path | keras.Model,
    *,
    labels: tuple[str, ...] = (),
    data: Path | None = None,
    input_range: InputRange | None = None,
    colour: Colour | None = None,
) -> Source:
    """Read a model from a run folder, a `.keras` file, an `.onnx` file or memory.

    A file written by `edgeinfer-train fit` contains its labels and data set; `labels` then selects columns of the
    head. Any other model requires `labels`, one for each logit, and `data`.

    Args:
        source: Run folder, `.keras` file, `.onnx` file or Keras model.
        labels: Labels in the order of the published logits. Empty keeps all labels of the file.
        data: Prepared folder with the training data.
        input_range: Range of the pixels that a model with float inputs and without scaling layers expects.
        colour: Colour format of the faces; None selects grey for one channel and RGB for three of a Keras model.

    Raises:
        UsageError: `labels`, `data`, `input_range` or `colour` is missing or contradicts the model.
        ModelNotFoundError: The file does not exist.
        ModelError: The file is not a Keras or ONNX model.
        ExportError: The file is damaged, or the model does not map faces to logits.
        DataError: The data cannot be used.
    """
    if isinstance(source, Path) and is_onnx(source):
        return _read_onnx(source, labels, data, input_range, colour)
    if isinstance(source, keras.Model):
        name, model, info = source.name, source, _describe_model(source.name, labels, data)
    else:
        if (source / "saved_model.pb").is_file():
            raise ExportError(f"{source} is a TensorFlow SavedModel: save the Keras model with model.save(FILE.keras)")
        path = source / MODEL_FILE if source.is_dir() else source
        name = str(path)
        model, info = _load(path, labels, data)
    selected = labels or info.labels
    unknown = [label for label in selected if label not in info.labels]
    if unknown:
        raise UsageError(f"{name} has the labels {' '.join(info.labels)}, not {' '.join(unknown)}")
    channels_colour = _colour(name, model, colour)
    network = to_logits_model(name, model, info.labels, selected, input_range, channels_colour)
    return Source(name, network, _select_labels(info, selected), channels_colour, lambda: to_onnx(network))


def _read_onnx(
    path: Path, labels: tuple[str, ...], data: Path | None, input_range: InputRange | None, colour: Colour | None
) -> Source:
    if not path.is_file():
        raise ModelNotFoundError(f"no model at {path}: expected an .onnx file")
    info = _describe_model(str(path), labels, data)
    classifier = OnnxClassifier(path, len(labels), input_range, colour)
    return Source(str(path), classifier, info, classifier.colour, classifier.convert)


def _load(path: Path, labels: tuple[str, ...], data: Path | None) -> tuple[keras.Model, ModelInfo]:
    check_model_file(path)
    info = read_model_info(path) if _has_info(path) else _describe_model(str(path), labels, data)
    try:
        _run_in_thread(lambda: _load_without_memory(path))
        return _load_keras(path), info
    except EdgeInferError:
        raise
    except MemoryError as error:
        raise ExportError(f"{path} does not fit into memory") from error
    except Exception as error:  # the type of the exception depends on the damaged part of the file
        raise ExportError(f"{path} cannot be loaded by Keras {keras.__version__}: {_reason(error)}") from error


def _has_info(path: Path) -> bool:
    if is_hdf5(path):
        return False
    with zipfile.ZipFile(path) as file:
        return INFO_MEMBER in file.namelist()


def _load_keras(path: Path) -> keras.Model:
    """Load a model without running code from its file; Keras selects the format by the suffix."""
    suffix = ".h5" if is_hdf5(path) else ".keras"
    if path.suffix == suffix:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    with tempfile.TemporaryDirectory(prefix="edgeinfer-export-") as folder:
        link = Path(folder) / f"model{suffix}"
        link.symlink_to(path.absolute())
        return keras.saving.load_model(link, compile=False, safe_mode=True)


def _load_without_memory(path: Path) -> None:
    """Compare the shapes of all variables with the weights in the file before Keras allocates any variable."""
    with keras.StatelessScope(initialize_variables=False):
        _load_keras(path)


def _run_in_thread(function: Callable[[], object]) -> None:
    """Run a function in a separate thread, because Keras keeps its global state, such as names, per thread."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        executor.submit(function).result()


def _reason(error: Exception) -> str:
    """Return the most specific sentence of a Keras error, which puts the cause after an introduction."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = next((line for line in lines[1:] if "A total of" in lines[0]), lines[0] if lines else type(error).__name__)
    return one_line(cause)[:300]


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


def _select_labels(info: ModelInfo, selected: tuple[str, ...]) -> ModelInfo:
    if selected == info.labels:
        return info
    shares = [info.prior.get(label, 0.0) for label in selected]
    total = sum(shares) or 1.0
    prior = {label: round(share / total, 6) for label, share in zip(selected, shares, strict=True)}
    return dataclasses.replace(info, labels=selected, prior=prior)


def _colour(name: str, model: keras.Model, colour: Colour | None) -> Colour:
    # Keras models with three channels expect RGB order; the backbones of edgeinfer-train take one grey channel.
    inputs = getattr(model, "inputs", None)  # missing in models that are refused later, with their reason
    channels = inputs[0].shape[-1] if inputs and len(inputs[0].shape) == 4 else None
    if colour is not None and channels in (1, 3) and (channels == 1) != (colour == "grey"):
        raise UsageError(f"{name} takes {channels} channel{'s' * (channels == 3)}, but `colour` is {colour}: leave it "
                         "out or pass a colour of as many channels")  # fmt: skip
    return colour or ("grey" if channels == 1 else "rgb")
