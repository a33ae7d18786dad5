"""Model card from the metadata of an ONNX file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from edgeinfer.errors import CapabilityError, ModelError, ModelNotFoundError, path_text, shown_path
from edgeinfer.model.admission import find_violation
from edgeinfer.model.cost import MAX_BATCH, find_excess
from edgeinfer.model.metadata import find_violation as find_metadata_violation
from edgeinfer.model.metadata import is_number, parse_json, parse_object
from edgeinfer.model.onnx_reader import summarize
from edgeinfer.results import Colour
from edgeinfer.system.paths import local_path, package_file

INPUT_NAME, OUTPUT_NAME = "image", "logits"
EMBEDDING_NAME = "embedding"
"""Optional second output, the values from which the last layer computes the logits."""
MAX_BYTES = 512 * 2**20
DEFAULT_MODEL = "edgenet-ferplus-int8.onnx"
ACCURATE, ACCURATE_PACKAGE = "accurate", "edgeinfer_accurate"
"""Name of the larger model, and the package of the extra that contains its file. The package is not imported."""
REQUIRED_KEYS = (
    "schema", "labels", "input", "crop", "temperature", "prior", "metrics", "dataset", "version", "license",
    "intended_use", "prohibited_use",
)  # fmt: skip
"""Required keys of `metadata_props`, without their prefix "edgeinfer."."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Description of a model from the metadata of its file.

    Attributes:
        name: File name without suffix.
        sha256: Hexadecimal SHA-256 of the whole file.
        size_bytes: Size of the file.
        labels: Names of the logits, in order.
        size_hw: Height and width of the input in pixels, 8..1024.
        channels: 1 for grey, 3 for colour.
        colour: Channel order of the input: "grey", "rgb" or "bgr".
        margin: Extension of the detector's box on each side before cropping, as a share of the box, -0.4..2.
        temperature: Divisor of the logits before softmax (Guo et al. 2017, arXiv:1706.04599), 0.001..1000.
        prior: Map from label to share of the training labels, 0..1.
        metrics: Measured figures with their data set and protocol.
        dataset: Training data set.
        version: Version of edgeinfer that exported the model.
        license: Licence of the weights.
        intended_use: Intended use in plain text.
        prohibited_use: Prohibited use in plain text.
        report: Measurements of the export; empty in files from earlier versions.

    Examples:
        >>> import edgeinfer
        >>> card = edgeinfer.load_pipeline().classifier.card
        >>> card.name, card.size_hw, card.channels, card.colour
        ('edgenet-ferplus-int8', (48, 48), 1, 'grey')
    """

    name: str
    sha256: str
    size_bytes: int
    labels: tuple[str, ...]
    size_hw: tuple[int, int]
    channels: int
    colour: Colour
    margin: float
    temperature: float
    prior: dict[str, float]
    metrics: dict[str, Any]
    dataset: str
    version: str
    license: str
    intended_use: str
    prohibited_use: str
    report: dict[str, Any]


def bundled_models() -> tuple[Path, ...]:
    """Return the paths of the installed model files, sorted by name: those of this package and of the extra `accurate`.

    Examples:
        >>> import edgeinfer
        >>> edgeinfer.bundled_models()[-1].name
        'edgenet-ferplus8-int8.onnx'
    """
    paths = list(asset_path("").glob("*.onnx"))
    if accurate := _accurate_model():
        paths.append(accurate)
    return tuple(sorted(paths, key=lambda path: path.name))


def asset_path(name: str) -> Path:
    """Return the path of a file that is installed with this package."""
    return Path(str(resources.files("edgeinfer"))) / "assets" / name


def find_model(model: str | Path | None) -> Path:
    """Return the path of a model file.

    Args:
        model: Path of an ONNX file, name of a bundled model, or None for the default model.

    Raises:
        CapabilityError: The model is "accurate", but the extra is not installed.
        ModelNotFoundError: The file does not exist.
    """
    if model is None:
        return asset_path(DEFAULT_MODEL)
    named = {path.stem: path for path in bundled_models()}
    path = named.get(str(model)) or local_path(model, ModelNotFoundError, expand_home=False)
    if not path.is_file():
        if str(model) == ACCURATE:
            raise CapabilityError(
                "the model accurate is an extra; install it with: pip install 'edgeinfer[accurate]', or in a clone: "
                "pip install ./models/accurate"
            )
        names = ", ".join(sorted({*named, ACCURATE}))
        raise ModelNotFoundError(f"no model at {shown_path(model)}: expected an .onnx file or one of {names}")
    return path


def _accurate_model() -> Path | None:
    """Return the path of the larger model in the package of the extra `accurate`, or in a checkout; else None."""
    name = f"{ACCURATE}.onnx"
    path = package_file(ACCURATE_PACKAGE, name)
    if path is None:
        path = Path(__file__).resolve().parents[2] / "models" / ACCURATE / ACCURATE_PACKAGE / name
    return path if path.is_file() else None


def read_card(path: Path) -> ModelCard:
    """Read and validate the card of a model file without loading the model into onnxruntime.

    Args:
        path: An ONNX file of at most 512 MiB.

    Returns:
        The card of the model.

    Raises:
        ModelNotFoundError: The file does not exist.
        ModelError: The file is not an ONNX model, lacks metadata or violates the admission rules.

    Examples:
        >>> import edgeinfer
        >>> edgeinfer.read_card(edgeinfer.bundled_models()[0]).labels
        ('neutral', 'happy', 'surprise', 'sad', 'angry', 'disgust', 'fear')
    """
    return read_model(path)[0]


def read_model(path: Path) -> tuple[ModelCard, bytes]:
    """Return the card and the content of a model file; see `read_card`."""
    shown = shown_path(path)
    if not path.is_file():
        raise ModelNotFoundError(f"no model at {shown}: expected the path of an .onnx file")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModelError(f"{shown} is {path.stat().st_size >> 20} MB; at most {MAX_BYTES >> 20} MB are accepted")
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{shown} cannot be read: {error.strerror}") from error
    try:
        summary = summarize(data)
    except ModelError as error:
        raise ModelError(f"{shown} is {error}") from error
    second = (EMBEDDING_NAME,) if summary.outputs[1:] == (EMBEDDING_NAME,) else ()
    violation = find_violation(summary, (INPUT_NAME,), (OUTPUT_NAME, *second))
    if violation:
        raise ModelError(f"{shown} {violation}")
    card = _card(summary.metadata, path, data)
    excess = find_excess(summary, (*card.size_hw, card.channels), MAX_BATCH)
    if excess:
        raise ModelError(f"{shown} {excess}")
    return card, data


def _card(metadata: dict[str, str], path: Path, data: bytes) -> ModelCard:
    shown = shown_path(path)
    missing = [f"edgeinfer.{key}" for key in REQUIRED_KEYS if f"edgeinfer.{key}" not in metadata]
    if missing:
        raise ModelError(f"{shown} lacks the metadata key {missing[0]}; export it with `edgeinfer-export convert`")
    text = {key: metadata[f"edgeinfer.{key}"] for key in REQUIRED_KEYS}
    try:
        labels = parse_json(text["labels"])
        spec, crop, prior, metrics = (parse_object(text[key]) for key in ("input", "crop", "prior", "metrics"))
        if not (isinstance(labels, list) and is_number(crop["margin"])):
            raise ValueError("labels is not a list, or the crop margin is not a number")
        card = ModelCard(
            name=path_text(path.stem), sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data),
            labels=tuple(labels), size_hw=(spec["height"], spec["width"]), channels=spec["channels"],
            colour=spec["colour"], margin=float(crop["margin"]), temperature=float(text["temperature"]),
            prior=prior, metrics=metrics, dataset=text["dataset"], version=text["version"],
            license=text["license"], intended_use=text["intended_use"], prohibited_use=text["prohibited_use"],
            report=parse_object(metadata.get("edgeinfer.report", "{}")),
        )  # fmt: skip
        violation = find_metadata_violation(text["schema"], spec, card)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ModelError(f"{shown} has damaged metadata: {str(error)[:200]}; export it again") from error
    if violation:
        raise ModelError(f"{shown} {violation}")
    return card
