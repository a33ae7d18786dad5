"""Quantized variants of a float32 model: static int8 in several settings, dynamic int8, float16."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    create_calibrator,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.calibrate import save_tensors_data
from onnxruntime.transformers.float16 import convert_float_to_float16

from edgeinfer.model.card import INPUT_NAME, OUTPUT_NAME
from edgeinfer_export.convert.graph import canonicalize
from edgeinfer_export.errors import ExportError, first_line
from edgeinfer_export.options import Calibration, VariantName
from edgeinfer_export.verify.verdict import run_logits
from edgeinfer_train.evaluation.evaluate import batches

SENSITIVITY_FACES = 128
"""Number of calibration faces on which the sensitivity of each node is measured."""
CALIBRATION_METHODS: dict[Calibration, CalibrationMethod] = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}


class SingleBatchReader(CalibrationDataReader):  # type: ignore[misc]
    """Calibration data reader that returns one batch.

    Args:
        faces: (N, H, W, C) uint8.
    """

    def __init__(self, faces: NDArray[np.uint8]) -> None:
        self._batches: Iterator[NDArray[np.uint8]] = iter([faces])

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """Return the batch on the first call, then None."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT_NAME: batch}


@dataclass(frozen=True, slots=True)
class _StaticSettings:
    """Number formats of a static int8 variant.

    Attributes:
        activations: Type of the activations.
        reduce_range: True if weights are limited to 7 bits.
    """

    activations: QuantType = QuantType.QUInt8
    reduce_range: bool = False


STATIC_VARIANTS: dict[VariantName, _StaticSettings] = {
    "int8": _StaticSettings(),
    "int8-signed": _StaticSettings(activations=QuantType.QInt8),
    "int8-reduced": _StaticSettings(reduce_range=True),
    "int8-mixed": _StaticSettings(),
}


class Quantizer:
    """Builder of the quantized variants of one model. Calibration runs once for all static variants.

    Args:
        model: Canonical float32 model from `edgeinfer_export.convert.graph.to_onnx`; not modified.
        faces: (N, H, W, C) uint8 training faces for calibration.
        folder: Folder for temporary files.
        calibration: Method that derives activation ranges.
    """

    def __init__(
        self, model: onnx.ModelProto, faces: NDArray[np.uint8], folder: Path, *, calibration: Calibration = "minmax"
    ) -> None:
        self._model, self._faces, self._method = model, faces, CALIBRATION_METHODS[calibration]
        self._folder, self._ranges = folder, folder / "ranges.json"
        self._float32_file, self._quantized_file = folder / "to-quantize.onnx", folder / "quantized.onnx"
        # If a model is passed as an object, onnxruntime moves its weights to an external data file.
        onnx.save(model, self._float32_file)
        self._float_nodes = float_nodes(model)

    def build(self, name: VariantName, *, keep_float: tuple[str, ...] = ()) -> onnx.ModelProto:
        """Build one variant.

        Static variants have int8 weights with one scale per channel. The pixel scaling and the layer that computes
        the logits stay float32: they cost almost no time, and quantized logits would be limited to 256 values.

        Args:
            name: Variant to build.
            keep_float: Names of further nodes that stay float32 in a static variant.

        Returns:
            A model with the same input and output.

        Raises:
            ExportError: onnxruntime cannot build the variant.
        """
        try:
            if name == "float16":
                quantized = convert_float_to_float16(onnx.load(self._float32_file), keep_io_types=True)
            elif name == "int8-dynamic":
                # The integer convolution of onnxruntime supports unsigned weights only.
                quantize_dynamic(
                    self._float32_file, self._quantized_file, per_channel=True, weight_type=QuantType.QUInt8,
                    nodes_to_exclude=self._float_nodes,
                )  # fmt: skip
                quantized = onnx.load(self._quantized_file)
            else:
                self._quantize_static(STATIC_VARIANTS[name], keep_float)
                quantized = onnx.load(self._quantized_file)
            return canonicalize(quantized)
        except Exception as error:  # onnxruntime's exceptions have no narrower base class
            raise ExportError(
                f"the model cannot be quantized as {name}: {type(error).__name__}, {first_line(error)}"
            ) from error

    def rank_sensitive_nodes(self) -> tuple[str, ...]:
        """Return the names of all quantizable nodes, the most sensitive one first.

        For each node, a variant is built in which this node alone stays float32. The nodes are sorted by the mean
        squared error of that variant's logits on calibration faces, in ascending order.

        Raises:
            ExportError: onnxruntime cannot build a variant.
        """
        faces = self._faces[:SENSITIVITY_FACES]
        expected = _logits(self._model, faces)
        errors = {}
        for node in self._model.graph.node:
            if node.op_type in ("Conv", "MatMul", "Gemm") and node.name not in self._float_nodes:
                logits = _logits(self.build("int8", keep_float=(node.name,)), faces)
                errors[node.name] = float(np.square(logits - expected).mean())
        return tuple(sorted(errors, key=lambda name: (errors[name], name)))

    def _quantize_static(self, settings: _StaticSettings, keep_float: tuple[str, ...]) -> None:
        if not self._ranges.is_file():
            save_tensors_data(self._calibrate(), self._ranges)
        quantize_static(
            self._float32_file,
            self._quantized_file,
            quant_format=QuantFormat.QDQ,
            activation_type=settings.activations,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=settings.reduce_range,
            calibrate_method=self._method,
            nodes_to_exclude=[*self._float_nodes, *keep_float],
            calibration_cache_path=self._ranges,
        )

    def _calibrate(self) -> Any:
        """Return the ranges of all activations.

        Each batch is collected by a separate call: the histogram methods require batches of equal size within one
        call, and the last batch may be smaller.
        """
        inferred = self._folder / "inferred.onnx"
        onnx.save(onnx.shape_inference.infer_shapes(self._model), inferred)
        calibrator = create_calibrator(
            inferred, augmented_model_path=str(self._folder / "augmented.onnx"), calibrate_method=self._method
        )
        for batch in batches(self._faces):
            calibrator.collect_data(SingleBatchReader(batch))
        return calibrator.compute_data()


def float_nodes(model: onnx.ModelProto) -> list[str]:
    """Return the names of the nodes that always stay float32.

    These are all nodes before the first convolution and the node that computes the logits.
    """
    nodes = list(model.graph.node)
    first = next((index for index, node in enumerate(nodes) if node.op_type == "Conv"), 0)
    return [node.name for index, node in enumerate(nodes) if index < first or OUTPUT_NAME in node.output]


def _logits(model: onnx.ModelProto, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return run_logits(session, faces)
