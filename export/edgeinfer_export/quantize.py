"""Static int8: ranges measured on training faces, weights per channel, the last layer in float32."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from edgeinfer.model import INPUT_NAME, OUTPUT_NAME
from edgeinfer_export.convert import first_line, tidy
from edgeinfer_export.errors import ExportError

BATCH = 64


class FaceReader(CalibrationDataReader):  # type: ignore[misc]
    """Feeds calibration faces in batches.

    Args:
        faces: (N, H, W, C) uint8.
    """

    def __init__(self, faces: NDArray[np.uint8]) -> None:
        self._batches: Iterator[NDArray[np.uint8]] = (faces[i : i + BATCH] for i in range(0, len(faces), BATCH))

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """The next batch, None after the last one."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT_NAME: batch}


def quantize_int8(model: onnx.ModelProto, faces: NDArray[np.uint8], folder: Path) -> onnx.ModelProto:
    """Turn a tidy float32 model into int8.

    Activations are uint8 and weights int8, one scale a channel: onnxruntime's fastest form on the CPU. The
    scaling of raw pixels and the layer that makes the logits stay float32, which costs nothing and keeps the
    logits from being rounded to 256 steps.

    Args:
        model: from `edgeinfer_export.convert.to_onnx`; not changed.
        faces: (N, H, W, C) uint8 training faces whose smallest and largest activations set the ranges.
        folder: for scratch files.

    Returns:
        A model with the same input and output.

    Raises:
        ExportError: onnxruntime cannot quantize it.
    """
    given, target = folder / "to-quantize.onnx", folder / "quantized.onnx"
    try:
        onnx.save(model, given)  # a model given as an object loses its weights to a file of theirs
        quantize_static(
            given,
            target,
            FaceReader(faces),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=float_nodes(model),
        )
        return tidy(onnx.load(target))
    except Exception as error:  # onnxruntime's own exceptions share no other base
        raise ExportError(f"the model cannot be quantized: {type(error).__name__}, {first_line(error)}") from error


def float_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that stay float32: all before the first convolution, and what makes the logits."""
    nodes = list(model.graph.node)
    first = next((index for index, node in enumerate(nodes) if node.op_type == "Conv"), 0)
    return [node.name for index, node in enumerate(nodes) if index < first or OUTPUT_NAME in node.output]
