"""Metadata of a published model. The Markdown card is generated from it."""

from __future__ import annotations

import json
from importlib import metadata
from typing import Any

import onnx

from edgeinfer.model.card import REQUIRED_KEYS
from edgeinfer.model.metadata import SCHEMA
from edgeinfer.model.onnx_reader import graph_digest
from edgeinfer_export.convert.source import Source
from edgeinfer_export.options import ExportOptions
from edgeinfer_export.verify.confidence import ConfidenceCalibration
from edgeinfer_train.evaluation.metrics import Metrics
from edgeinfer_train.networks.model import ModelInfo

INTENDED_USE = (
    "Reading the perceived expression in pictures of faces, on the device, for art, play, research and "
    "interfaces that people have chosen to use. A label names what an onlooker would perceive in the pixels, "
    "not what a person feels."
)
PROHIBITED_USE = (
    "Inferring the emotions of people at the workplace or in education (prohibited in the European Union by "
    "Article 5(1)(f) of the AI Act, Regulation (EU) 2024/1689), and any decision about a person."
)
FEW_FACES = 100
"""Number of faces of one label below which its figures are listed as unreliable."""
DATA_LIMITS = {
    "FERPlus": "The training faces were collected from the web in 2013 and are small, grey and mostly frontal; each "
    "was labelled by ten crowd workers.",
    "FER2013": "The training faces were collected from the web in 2013 by searching for emotion keywords and are "
    "small and grey; many labels are wrong.",
    "CK+": "The training faces are acted expressions of about a hundred young adults in one laboratory.",
}


def known_limits(info: ModelInfo, scores: Metrics | None, confidence: ConfidenceCalibration | None) -> tuple[str, ...]:
    """Return the limitations of a model, one sentence each.

    Args:
        info: Data set and label shares of the training faces.
        scores: Metrics on held-out faces, or None if there are none.
        confidence: Confidence calibration, or None if the confidence is not calibrated.
    """
    sentences = [DATA_LIMITS[info.dataset]] if info.dataset in DATA_LIMITS else []
    common, rare = max(info.prior, key=lambda n: info.prior[n]), min(info.prior, key=lambda n: info.prior[n])
    if info.prior[common] > 2 * info.prior[rare]:
        sentences.append(
            f"{info.prior[common]:.0%} of the training faces are {common} and {info.prior[rare]:.1%} {rare}; "
            f"on faces with other proportions the model predicts {common} too often and {rare} too rarely."
        )
    few = {n: s.count for n, s in scores.per_class.items() if s.count < FEW_FACES} if scores else {}
    if few:
        counts = ", ".join(f"{name} ({count})" for name, count in few.items())
        sentences.append(f"The figures of these labels are based on fewer than {FEW_FACES} faces: {counts}.")
    if scores is None:
        sentences.append("The accuracy was not measured on faces.")
    if confidence is None:
        sentences.append("The confidence was not calibrated.")
    return (
        *sentences,
        "Error rates by age, sex, skin tone, culture, glasses or head covering were not measured; assume that they "
        "differ.",
        "Turned, covered, dark or blurred faces also receive a label, as do false detections.",
    )


def write_runtime_metadata(model: onnx.ModelProto, source: Source, options: ExportOptions) -> None:
    """Replace the metadata of a model with the keys that the runtime requires, without any measured figure."""
    _replace_metadata(model, _runtime_metadata(model, source, options))


def write_metadata(
    model: onnx.ModelProto,
    source: Source,
    options: ExportOptions,
    *,
    temperature: float,
    metrics: dict[str, Any],
    report: dict[str, Any],
    samples: dict[str, Any],
) -> None:
    """Replace the metadata of a model with all `edgeinfer.` keys, in a fixed order.

    Args:
        model: Model with the input `image` (batch, height, width, channels) uint8.
        source: Labels, data set, prior and colour.
        options: Margin and licence.
        temperature: Divisor of the logits, above 0.
        metrics: Headline metrics with their data set and protocol, as JSON values.
        report: Report of the export, as JSON values.
        samples: Recorded outputs for generated images, from `edgeinfer.model.verify.record`.
    """
    values = _runtime_metadata(model, source, options)
    _replace_metadata(model, values)
    digest = graph_digest(model.SerializeToString(deterministic=True))
    measured = {"metrics": metrics, "report": report, "samples": samples}
    texts = {key: json.dumps(value) for key, value in measured.items()}
    _replace_metadata(model, values | texts | {"temperature": f"{temperature:g}", "digest": digest})


def _runtime_metadata(model: onnx.ModelProto, source: Source, options: ExportOptions) -> dict[str, str]:
    height, width, channels = (dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim[1:])
    input_format = {
        "height": height,
        "width": width,
        "channels": channels,
        "layout": "NHWC",
        "dtype": "uint8",
        "colour": source.colour,
    }
    return {
        "schema": str(SCHEMA),
        "labels": json.dumps(source.info.labels),
        "input": json.dumps(input_format),
        "crop": json.dumps({"margin": options.margin}),
        "temperature": "1",
        "prior": json.dumps(source.info.prior),
        "metrics": "{}",
        "dataset": source.info.dataset,
        "version": edgeinfer_version(),
        "license": options.license,
        "intended_use": INTENDED_USE,
        "prohibited_use": PROHIBITED_USE,
    }


def _replace_metadata(model: onnx.ModelProto, values: dict[str, str]) -> None:
    del model.metadata_props[:]
    for key in (*REQUIRED_KEYS, *(key for key in values if key not in REQUIRED_KEYS)):
        model.metadata_props.add(key=f"edgeinfer.{key}", value=values[key])


def edgeinfer_version() -> str:
    """Return the installed version of edgeinfer, or "unknown" if it is not installed."""
    try:
        return metadata.version("edgeinfer")
    except metadata.PackageNotFoundError:
        return "unknown"
