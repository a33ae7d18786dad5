"""Model card read from the metadata of an ONNX file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, get_args

from edgeinfer.errors import ModelError, ModelNotFoundError
from edgeinfer.model.admission import refusal
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
"""The keys that `metadata_props` must hold, each behind "edgeinfer."."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """How to use a model, from the metadata of its file.

    Attributes:
        name: file name without suffix.
        sha256: of the whole file, hexadecimal.
        size_bytes: of the whole file.
        labels: names of the logits, in order.
        size_hw: height and width of the input in pixels.
        channels: 1 or 3.
        colour: "grey", "rgb" or "bgr".
        margin: how far the crop reaches beyond the detector's box, as a share of its side.
        temperature: logits are divided by it before softmax (Guo et al. 2017, arXiv:1706.04599).
        prior: label to share of the training labels.
        metrics: figures with their data set and protocol.
        dataset: what it was trained on.
        version: of edgeinfer when it was exported.
        license: of the weights.
        intended_use: what it is for.
        prohibited_use: what it must not be used for.
        report: everything that its export measured; empty for a file of an earlier version.
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
    """The model files that are installed with this package, sorted by name."""
    return tuple(sorted(asset_path("").glob("*.onnx")))


def asset_path(name: str) -> Path:
    """Path of a file that is installed with this package."""
    return Path(str(resources.files("edgeinfer"))) / "assets" / name


def find_model(model: str | Path | None) -> Path:
    """The file meant by a path, by the name of a bundled model, or by None for the default.

    Raises:
        ModelNotFoundError: there is no such file.
    """
    if model is None:
        return asset_path(DEFAULT_MODEL)
    named = {path.stem: path for path in bundled_models()}
    path = named.get(str(model), Path(model))
    if not path.is_file():
        raise ModelNotFoundError(f"no model at {model}; give an .onnx file or one of {', '.join(named)}")
    return path


def read_card(path: Path) -> ModelCard:
    """Read a model's card without running it.

    Raises:
        ModelNotFoundError: no such file.
        ModelError: it is no ONNX model, does not say how to use it, or may not be loaded.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[ModelCard, bytes]:
    if not path.is_file():
        raise ModelNotFoundError(f"no model at {path}; give the path of an .onnx file")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModelError(f"{path} is larger than {MAX_BYTES >> 20} MB; that is no model for a small computer")
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    try:
        summary = summarize(data)
    except ModelError as error:
        raise ModelError(f"{path} is {error}") from error
    reason = refusal(summary, (INPUT_NAME,), (OUTPUT_NAME,))
    if reason:
        raise ModelError(f"{path} {reason}")
    return _card(summary.metadata, path, data), data


def _card(metadata: dict[str, str], path: Path, data: bytes) -> ModelCard:
    missing = [f"edgeinfer.{key}" for key in REQUIRED_KEYS if f"edgeinfer.{key}" not in metadata]
    if missing:
        raise ModelError(
            f"{path} does not say how to use it ({missing[0]} is missing); export it with `edgeinfer-export convert`"
        )
    text = {key: metadata[f"edgeinfer.{key}"] for key in REQUIRED_KEYS}
    try:
        labels, given, crop, prior, metrics = (
            json.loads(text[k]) for k in ("labels", "input", "crop", "prior", "metrics")
        )
        card = ModelCard(
            name=path.stem, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data),
            labels=tuple(labels), size_hw=(given["height"], given["width"]), channels=given["channels"],
            colour=given["colour"], margin=float(crop["margin"]), temperature=float(text["temperature"]),
            prior=dict(prior), metrics=dict(metrics), dataset=text["dataset"], version=text["version"],
            license=text["license"], intended_use=text["intended_use"], prohibited_use=text["prohibited_use"],
            report=dict(json.loads(metadata.get("edgeinfer.report", "{}"))),
        )  # fmt: skip
        problem = _problem(text["schema"], given, card)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ModelError(f"{path} has damaged metadata ({error}); export it again") from error
    if problem:
        raise ModelError(f"{path} {problem}")
    return card


def _problem(schema: str, given: dict[str, Any], card: ModelCard) -> str | None:
    if schema != str(SCHEMA):
        return f"follows schema {schema}; this version reads {SCHEMA}, so update edgeinfer"
    if given.get("layout") != "NHWC" or given.get("dtype") != "uint8":
        return f"wants {given.get('layout')} {given.get('dtype')}; expected NHWC uint8"
    if (
        len(card.labels) < 2
        or len(set(card.labels)) != len(card.labels)
        or not all(isinstance(n, str) and n.isprintable() for n in card.labels)
    ):
        return "does not name two or more different labels"
    if not all(isinstance(side, int) and 8 <= side <= MAX_SIDE for side in card.size_hw):
        return f"wants faces of {card.size_hw} pixels; expected sides of 8 to {MAX_SIDE}"
    if card.colour not in get_args(Colour) or card.channels != (1 if card.colour == "grey" else 3):
        return f"wants {card.channels} channels of {card.colour}; expected 1 of grey or 3 of rgb or bgr"
    if not (1e-3 <= card.temperature <= 1e3 and -0.4 <= card.margin <= 2):
        return "has a temperature or crop margin out of range"
    if not all(isinstance(share, int | float) and 0 <= share <= 1 for share in card.prior.values()):
        return "has a prior that is no share of the labels"
    return None
