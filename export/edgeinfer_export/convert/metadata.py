"""The one source of what a model says of itself: its metadata, from which the Markdown card is written too."""

from __future__ import annotations

import json
from importlib import metadata
from typing import TYPE_CHECKING, Any

from edgeinfer.model.card import REQUIRED_KEYS, SCHEMA
from edgeinfer.model.onnx_reader import graph_digest
from edgeinfer_export.convert.source import Source
from edgeinfer_export.options import ExportOptions
from edgeinfer_export.verify.confidence import Confidence
from edgeinfer_train.evaluation.metrics import Metrics
from edgeinfer_train.networks.model import ModelInfo

if TYPE_CHECKING:
    import onnx


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
DATA_LIMITS = {
    "FERPlus": "The training faces were collected from the web in 2013 and are small, grey and mostly frontal; their "
    "labels are the opinions of ten crowd workers a face.",
    "FER2013": "The training faces were collected from the web in 2013 by searching for words of emotion and are small "
    "and grey; many labels are wrong.",
    "CK+": "The training faces are acted expressions of about a hundred young adults in one laboratory.",
}


def limits(info: ModelInfo, scores: Metrics | None, confidence: Confidence | None) -> tuple[str, ...]:
    """What a model should not be trusted with, from its data and figures.

    Args:
        info: data set and shares of its labels.
        scores: figures on held-back faces, if there are some.
        confidence: whether the probabilities were calibrated.
    """
    said = [DATA_LIMITS[info.dataset]] if info.dataset in DATA_LIMITS else []
    common, rare = max(info.prior, key=lambda n: info.prior[n]), min(info.prior, key=lambda n: info.prior[n])
    if info.prior[common] > 2 * info.prior[rare]:
        said.append(
            f"{info.prior[common]:.0%} of the training faces are {common} and {info.prior[rare]:.1%} {rare}; "
            f"on other faces the model says {common} too often and {rare} too seldom."
        )
    few = {n: s.count for n, s in scores.per_class.items() if s.count < FEW_FACES} if scores else {}
    if few:
        counts = ", ".join(f"{name} ({count})" for name, count in few.items())
        said.append(f"These figures rest on fewer than {FEW_FACES} faces: {counts}.")
    if scores is None:
        said.append("It was not measured on faces.")
    if confidence is None:
        said.append("Its confidence was not calibrated.")
    return (
        *said,
        "Error rates by age, sex, skin tone, culture, glasses or head covering were not measured; assume that they "
        "differ.",
        "Turned, covered, dark or blurred faces, and whatever a detector takes for a face, get an answer, too.",
    )


def preliminary_card(model: onnx.ModelProto, source: Source, options: ExportOptions) -> None:
    """Give a form what the runtime needs to run it, without any figure."""
    _write(model, _use(model, source, options))


def final_card(
    model: onnx.ModelProto,
    source: Source,
    options: ExportOptions,
    *,
    temperature: float,
    metrics: dict[str, Any],
    report: dict[str, Any],
    samples: dict[str, Any],
) -> None:
    """Replace the metadata of a model by ours, in a fixed order.

    Args:
        model: its input `image` is (batch, height, width, channels) uint8.
        source: labels, data set, prior and colour.
        options: margin and licence.
        temperature: divides the logits.
        metrics: headline figures with their data set and protocol; plain values.
        report: everything that was measured; plain values.
        samples: answers to generated pictures, from `edgeinfer.model.verify.record`.
    """
    values = _use(model, source, options)
    _write(model, values)
    digest = graph_digest(model.SerializeToString(deterministic=True))
    stored = {"metrics": metrics, "report": report, "samples": samples}
    texts = {key: json.dumps(value) for key, value in stored.items()}
    _write(model, values | texts | {"temperature": f"{temperature:g}", "digest": digest})


def _use(model: onnx.ModelProto, source: Source, options: ExportOptions) -> dict[str, str]:
    height, width, channels = (dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim[1:])
    given = {
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
        "input": json.dumps(given),
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


def _write(model: onnx.ModelProto, values: dict[str, str]) -> None:
    del model.metadata_props[:]
    for key in (*REQUIRED_KEYS, *(key for key in values if key not in REQUIRED_KEYS)):
        model.metadata_props.add(key=f"edgeinfer.{key}", value=values[key])


def edgeinfer_version() -> str:
    """The installed version; "unknown" when the package runs from a folder without being installed."""
    try:
        return metadata.version("edgeinfer")
    except metadata.PackageNotFoundError:
        return "unknown"
