"""The metadata by which a model file tells how to use it; `edgeinfer.model` reads them."""

from __future__ import annotations

import json
from importlib import metadata
from typing import TYPE_CHECKING, Any

from edgeinfer.model import REQUIRED_KEYS, SCHEMA
from edgeinfer.preprocess import Colour
from edgeinfer_export.options import ExportOptions
from edgeinfer_train.model import ModelInfo

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


def write_card(
    model: onnx.ModelProto,
    info: ModelInfo,
    options: ExportOptions,
    *,
    colour: Colour,
    metrics: dict[str, Any],
) -> None:
    """Replace the metadata of a model by ours, in a fixed order.

    Args:
        model: its input `image` is (batch, height, width, channels) uint8.
        info: labels, data set and prior, from the `.keras` file.
        options: margin and licence.
        colour: of the input's channels.
        metrics: figures with their data set and protocol; plain values.
    """
    height, width, channels = (dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim[1:])
    given = {
        "height": height,
        "width": width,
        "channels": channels,
        "layout": "NHWC",
        "dtype": "uint8",
        "colour": colour,
    }
    values = {
        "schema": str(SCHEMA),
        "labels": json.dumps(info.labels),
        "input": json.dumps(given),
        "crop": json.dumps({"margin": options.margin}),
        "temperature": "1.0",
        "prior": json.dumps(info.prior),
        "metrics": json.dumps(metrics),
        "dataset": info.dataset,
        "version": edgeinfer_version(),
        "license": options.license,
        "intended_use": INTENDED_USE,
        "prohibited_use": PROHIBITED_USE,
    }
    del model.metadata_props[:]
    for key in REQUIRED_KEYS:
        model.metadata_props.add(key=f"edgeinfer.{key}", value=values[key])


def edgeinfer_version() -> str:
    """The installed version; "unknown" when the package runs from a folder without being installed."""
    try:
        return metadata.version("edgeinfer")
    except metadata.PackageNotFoundError:
        return "unknown"
