"""Model card from the metadata of an ONNX file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, get_args

from edgeinfer.errors import ModelError, ModelNotFoundError
from edgeinfer.model.admission import find_violation
from edgeinfer.model.onnx_reader import summarize
from edgeinfer.results import Colour

SCHEMA = 1
INPUT_NAME, OUTPUT_NAME = "image", "logits"
MAX_BYTES = 512 * 2**20
MAX_SIDE = 1024
DEFAULT_MODEL = "edgenet-ferplus-int8.onnx"
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
        prior: Label to share of the training labels, 0..1.
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
    """Return the paths of the model files that are installed with this package, sorted by name.

    Examples:
        >>> import edgeinfer
        >>> [path.name for path in edgeinfer.bundled_models()]
        ['edgenet-ferplus-int8.onnx', 'edgenet-ferplus8-int8.onnx']
    """
    return tuple(sorted(asset_path("").glob("*.onnx")))


def asset_path(name: str) -> Path:
    """Return the path of a file that is installed with this package."""
    return Path(str(resources.files("edgeinfer"))) / "assets" / name


def find_model(model: str | Path | None) -> Path:
    """Return the path of a model file.

    Args:
        model: Path of an ONNX file, name of a bundled model, or None for the default model.

    Raises:
        ModelNotFoundError: The file does not exist.
    """
    if model is None:
        return asset_path(DEFAULT_MODEL)
    named = {path.stem: path for path in bundled_models()}
    path = named.get(str(model), Path(model))
    if not path.is_file():
        raise ModelNotFoundError(f"no model at {model}: expected an .onnx file or one of {', '.join(named)}")
    return path


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
    if not path.is_file():
        raise ModelNotFoundError(f"no model at {path}: expected the path of an .onnx file")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModelError(f"{path} has {path.stat().st_size >> 20} MB; at most {MAX_BYTES >> 20} MB are accepted")
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    try:
        summary = summarize(data)
    except ModelError as error:
        raise ModelError(f"{path} is {error}") from error
    violation = find_violation(summary, (INPUT_NAME,), (OUTPUT_NAME,))
    if violation:
        raise ModelError(f"{path} {violation}")
    return _card(summary.metadata, path, data), data


def _card(metadata: dict[str, str], path: Path, data: bytes) -> ModelCard:
    missing = [f"edgeinfer.{key}" for key in REQUIRED_KEYS if f"edgeinfer.{key}" not in metadata]
    if missing:
        raise ModelError(f"{path} lacks the metadata key {missing[0]}; export it with `edgeinfer-export convert`")
    text = {key: metadata[f"edgeinfer.{key}"] for key in REQUIRED_KEYS}
    try:
        labels, spec, crop, prior, metrics = (
            json.loads(text[k]) for k in ("labels", "input", "crop", "prior", "metrics")
        )
        card = ModelCard(
            name=path.stem, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data),
            labels=tuple(labels), size_hw=(spec["height"], spec["width"]), channels=spec["channels"],
            colour=spec["colour"], margin=float(crop["margin"]), temperature=float(text["temperature"]),
            prior=dict(prior), metrics=dict(metrics), dataset=text["dataset"], version=text["version"],
            license=text["license"], intended_use=text["intended_use"], prohibited_use=text["prohibited_use"],
            report=dict(json.loads(metadata.get("edgeinfer.report", "{}"))),
        )  # fmt: skip
        violation = _find_violation(text["schema"], spec, card)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ModelError(f"{path} has damaged metadata: {error}; export it again") from error
    if violation:
        raise ModelError(f"{path} {violation}")
    return card


def _find_violation(schema: str, spec: dict[str, Any], card: ModelCard) -> str | None:
    if schema != str(SCHEMA):
        return f"uses schema {schema}, but this version supports schema {SCHEMA} only; update edgeinfer"
    if spec.get("layout") != "NHWC" or spec.get("dtype") != "uint8":
        return f"has a {spec.get('layout')} {spec.get('dtype')} input; expected NHWC uint8"
    if (
        len(card.labels) < 2
        or len(set(card.labels)) != len(card.labels)
        or not all(isinstance(n, str) and n.isprintable() for n in card.labels)
    ):
        return "has invalid labels; expected two or more different printable names"
    if not all(isinstance(side, int) and 8 <= side <= MAX_SIDE for side in card.size_hw):
        return f"has an input of {card.size_hw} pixels; expected a height and width of 8..{MAX_SIDE}"
    if card.colour not in get_args(Colour) or card.channels != (1 if card.colour == "grey" else 3):
        return (
            f"has an input of {card.channels} {card.colour} channels; expected 1 grey channel or 3 rgb or bgr channels"
        )
    if not (1e-3 <= card.temperature <= 1e3 and -0.4 <= card.margin <= 2):
        return (
            f"has a temperature of {card.temperature:g} and a crop margin of {card.margin:g}; "
            "expected 0.001..1000 and -0.4..2"
        )
    if not all(isinstance(share, int | float) and 0 <= share <= 1 for share in card.prior.values()):
        return "has an invalid prior; expected a share of 0..1 for each label"
    return None
