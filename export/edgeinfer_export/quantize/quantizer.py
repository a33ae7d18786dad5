"""Smaller forms of a float32 model: static int8 in several kinds, dynamic int8, float16."""

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
from edgeinfer_export.convert.graph import first_line, tidy
from edgeinfer_export.errors import ExportError
from edgeinfer_export.options import Calibration, VariantName
from edgeinfer_export.verify.verdict import run_logits
from edgeinfer_train.evaluation.evaluate import batches

SENSITIVITY_FACES = 128
METHODS: dict[Calibration, CalibrationMethod] = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}


class FaceReader(CalibrationDataReader):  # type: ignore[misc]
    """Feeds one batch of calibration faces.

    Args:
        faces: (N, H, W, C) uint8.
    """

    def __init__(self, faces: NDArray[np.uint8]) -> None:
        self._batches: Iterator[NDArray[np.uint8]] = iter([faces])

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """The batch, then None."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT_NAME: batch}


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a static form stores its numbers."""

    activations: QuantType = QuantType.QUInt8
    seven_bits: bool = False


STATIC: dict[VariantName, _Kind] = {
    "int8": _Kind(),
    "int8-signed": _Kind(activations=QuantType.QInt8),
    "int8-reduced": _Kind(seven_bits=True),
    "int8-mixed": _Kind(),
}


class Quantizer:
    """Makes the quantized forms of one model; the calibration faces are run once for all static ones.

    Args:
        model: tidy float32 model from `edgeinfer_export.convert.graph.to_onnx`; not changed.
        faces: (N, H, W, C) uint8 training faces that set the ranges of activations.
        folder: for scratch files.
        calibration: how ranges follow from what these faces cause.
    """

    def __init__(
        self, model: onnx.ModelProto, faces: NDArray[np.uint8], folder: Path, *, calibration: Calibration = "minmax"
    ) -> None:
        self._model, self._faces, self._method = model, faces, METHODS[calibration]
        self._given, self._target = folder / "to-quantize.onnx", folder / "quantized.onnx"
        self._folder, self._ranges = folder, folder / "ranges.json"
        onnx.save(model, self._given)  # a model given as an object loses its weights to a file of theirs
        self._float = float_nodes(model)

    def make(self, name: VariantName, *, keep_float: tuple[str, ...] = ()) -> onnx.ModelProto:
        """Make one form.

        In the static forms weights are int8, one scale a channel. The scaling of raw pixels and the layer that makes
        the logits stay float32, which costs nothing and keeps the logits from being rounded to 256 steps.

        Args:
            name: which.
            keep_float: names of more nodes that stay float32, for a static form.

        Returns:
            A model with the same input and output.

        Raises:
            ExportError: onnxruntime cannot make it.
        """
        try:
            if name == "float16":
                made = convert_float_to_float16(onnx.load(self._given), keep_io_types=True)
            elif name == "int8-dynamic":
                # onnxruntime's integer convolution takes unsigned weights only.
                quantize_dynamic(
                    self._given, self._target, per_channel=True, weight_type=QuantType.QUInt8,
                    nodes_to_exclude=self._float,
                )  # fmt: skip
                made = onnx.load(self._target)
            else:
                self._static(STATIC[name], keep_float)
                made = onnx.load(self._target)
            return tidy(made)
        except Exception as error:  # onnxruntime's own exceptions share no other base
            raise ExportError(
                f"the model cannot be quantized as {name}: {type(error).__name__}, {first_line(error)}"
            ) from error

    def sensitive_nodes(self) -> tuple[str, ...]:
        """Nodes of the model, most harmful first: how much closer to float32 the logits come without each.

        Each node in turn is left in float32 while all others are int8; the squared error of the logits on
        calibration faces ranks them.

        Raises:
            ExportError: onnxruntime cannot make a form.
        """
        faces = self._faces[:SENSITIVITY_FACES]
        expected = self._answers(self._model, faces)
        errors = {}
        for node in self._model.graph.node:
            if node.op_type in ("Conv", "MatMul", "Gemm") and node.name not in self._float:
                answers = self._answers(self.make("int8", keep_float=(node.name,)), faces)
                errors[node.name] = float(np.square(answers - expected).mean())
        return tuple(sorted(errors, key=lambda name: (errors[name], name)))

    def _static(self, kind: _Kind, keep_float: tuple[str, ...]) -> None:
        if not self._ranges.is_file():
            save_tensors_data(self._calibrate(), self._ranges)
        quantize_static(
            self._given,
            self._target,
            quant_format=QuantFormat.QDQ,
            activation_type=kind.activations,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=kind.seven_bits,
            calibrate_method=self._method,
            nodes_to_exclude=[*self._float, *keep_float],
            calibration_cache_path=self._ranges,
        )

    def _calibrate(self) -> Any:
        """The ranges of all activations, batch by batch, since a histogram wants batches of one size."""
        inferred = self._folder / "inferred.onnx"
        onnx.save(onnx.shape_inference.infer_shapes(self._model), inferred)
        calibrator = create_calibrator(
            inferred, augmented_model_path=str(self._folder / "augmented.onnx"), calibrate_method=self._method
        )
        for batch in batches(self._faces):
            calibrator.collect_data(FaceReader(batch))
        return calibrator.compute_data()

    @staticmethod
    def _answers(model: onnx.ModelProto, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return run_logits(session, faces)


def float_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that stay float32: all before the first convolution, and what makes the logits."""
    nodes = list(model.graph.node)
    first = next((index for index, node in enumerate(nodes) if node.op_type == "Conv"), 0)
    return [node.name for index, node in enumerate(nodes) if index < first or OUTPUT_NAME in node.output]
