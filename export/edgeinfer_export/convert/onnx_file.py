"""Third-party ONNX classifiers, wrapped into the published form: raw uint8 faces, scaling in the graph, logits."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgeinfer.errors import EdgeInferError, ModelError, ModelNotFoundError, UsageError
from edgeinfer.expression.probabilities import softmax
from edgeinfer.model.admission import find_violation
from edgeinfer.model.card import INPUT_NAME, MAX_BYTES, OUTPUT_NAME
from edgeinfer.model.onnx_reader import OnnxSummary, summarize
from edgeinfer.model.verify import sample_pictures
from edgeinfer.results import Colour
from edgeinfer_export.convert.graph import OPSET, Conversion, finish_graph
from edgeinfer_export.convert.onnx_form import (
    find_logits_tensor,
    opset_of,
    remove_redundant_inputs,
    with_free_batch,
    with_output,
)
from edgeinfer_export.convert.pixels import pixel_scale
from edgeinfer_export.errors import ExportError, first_line
from edgeinfer_export.options import InputRange
from edgeinfer_export.verify.verdict import TOLERANCE, relative_difference, run_logits

CHECK_IMAGES = 4
FLOATS = {TensorProto.FLOAT: np.float32, TensorProto.FLOAT16: np.float16}
PREFIX = "network/"


@dataclass(frozen=True, slots=True)
class Signature:
    """Input and output of a classifier.

    Attributes:
        input: Name of the input.
        output: Name of the output with one value per label.
        size_hw: Height and width of the input in pixels.
        channels: Channels of the network, 1 or 3.
        channels_first: True for (B, C, H, W), False for (B, H, W, C).
        element: Element type of the input, a value of TensorProto.DataType.
        batch: Fixed batch size, or 0.
    """

    input: str
    output: str
    size_hw: tuple[int, int]
    channels: int
    channels_first: bool
    element: int
    batch: int


class OnnxClassifier:
    """An ONNX classifier as its authors run it: pixels are scaled outside the graph, and it keeps its own opset.

    It is the reference with which the published graph is compared.

    Attributes:
        input_shape: (None, H, W, C) of the published form; C is 1 for grey faces.
    """

    def __init__(self, path: Path, labels: int, input_range: InputRange | None, colour: Colour | None) -> None:
        """Read a file.

        Args:
            path: The .onnx file.
            labels: Number of labels.
            input_range: Range of the pixels that the network expects; None only if it takes uint8.
            colour: Colour format of the faces; None only for a network with one channel.

        Raises:
            ModelNotFoundError: The file does not exist.
            ModelError: The file is not an ONNX model.
            UsageError: The range or the colour is missing, or contradicts the file.
            ExportError: The model is not a classifier of faces with one value per label.
        """
        self._name = str(path)
        self._model = _read(path)
        self._signature = _signature(self._name, self._model, labels)
        self.colour: Colour = _check_colour(self._name, self._signature.channels, colour)
        if (input_range is None) != (self._signature.element == TensorProto.UINT8):
            raise UsageError(
                f"{path} takes uint8 faces, for which `input_range` has no effect"
                if input_range
                else f"{path} takes floats, and the range of its training pixels is unknown: pass `input_range` "
                "(0..1, -1..1, 0..255 or imagenet)"
            )
        self._scale = pixel_scale(path.name, input_range or "0..255", channels=self._signature.channels,
                                  colour=self.colour)  # fmt: skip
        self.input_shape = (None, *self._signature.size_hw, 1 if self.colour == "grey" else 3)
        self._logits = find_logits_tensor(self._model.graph, self._signature.output)

    def convert(self) -> Conversion:
        """Return the wrapped graph.

        Raises:
            ExportError: The graph cannot be wrapped, or returns other values than the file.
        """
        try:
            graph = finish_graph(self._wrap(self._network()))
            self._check_outputs(graph)
        except EdgeInferError:
            raise
        except Exception as error:  # onnx and onnxruntime raise many types for unsupported graphs
            raise ExportError(f"{self._name} cannot be wrapped: {first_line(error)}") from error
        return Conversion(graph, "wrapped ONNX file", ())

    def predict_on_batch(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the logits of (N, H, W, C) uint8 faces, (N, K), as the unmodified network computes them."""
        return self._run(images)[0]

    def _run(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the logits and the original outputs."""
        signature, (scale, offset) = self._signature, self._scale
        pixels: NDArray[Any] = images
        if signature.element != TensorProto.UINT8:
            pixels = (images * scale + offset).astype(FLOATS[signature.element])
        elif images.shape[-1] != signature.channels:
            pixels = np.repeat(images, signature.channels, axis=-1)
        pixels = pixels.transpose(0, 3, 1, 2) if signature.channels_first else pixels
        session, size = self._session, signature.batch or len(pixels)
        outputs: list[list[NDArray[Any]]] = []
        for start in range(0, len(pixels), size):
            part = pixels[start : start + size]
            batch = np.ascontiguousarray(np.resize(part, (size, *part.shape[1:])))
            values = session.run([self._logits, signature.output], {signature.input: batch})
            outputs.append([value.reshape(size, -1)[: len(part)].astype(np.float32) for value in values])
        logits, original = (np.concatenate(values) for values in zip(*outputs, strict=True))
        return logits, original

    @functools.cached_property
    def _session(self) -> ort.InferenceSession:
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        if self._logits != self._signature.output:
            model.graph.output.append(onnx.ValueInfoProto(name=self._logits))
        options = ort.SessionOptions()
        options.log_severity_level = 4
        return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def _network(self) -> onnx.ModelProto:
        """Return the network without softmax, with a free batch size and a current opset."""
        model = with_output(self._model, self._logits)
        remove_redundant_inputs(model)
        if self._signature.batch:
            model = with_free_batch(model)
        if opset_of(model) < OPSET:
            model = onnx.version_converter.convert_version(model, OPSET)
        return model

    def _wrap(self, network: onnx.ModelProto) -> onnx.ModelProto:
        """Put the scaling and the change of layout in front of a network, and flatten its output."""
        signature = self._signature
        network = onnx.compose.add_prefix(network, PREFIX)
        graph, (scale, offset) = network.graph, self._scale
        outputs = self.predict_on_batch(np.zeros((1, *self.input_shape[1:]), np.uint8)).shape[1]
        arrays = {"scale": scale, "offset": offset, "shape": np.array([-1, outputs], np.int64)}
        steps = [("Cast", ["image"], {"to": TensorProto.FLOAT}), ("Mul", ["scale"], {}), ("Add", ["offset"], {})]
        if signature.channels_first:
            steps.append(("Transpose", [], {"perm": [0, 3, 1, 2]}))
        if signature.element != TensorProto.FLOAT:
            steps.append(("Cast", [], {"to": signature.element}))
        nodes = []
        value = ""
        for index, (operator, names, attributes) in enumerate(steps):
            inputs = [name for name in (value, *names) if name]
            value = PREFIX + signature.input if index == len(steps) - 1 else f"pixels.{index}"
            nodes.append(helper.make_node(operator, inputs, [value], **attributes))
        last = [
            helper.make_node("Cast", [PREFIX + self._logits], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", ["float", "shape"], [OUTPUT_NAME]),
        ]
        body = helper.make_graph(
            [*nodes, *graph.node, *last], "edgeinfer",
            [helper.make_tensor_value_info(INPUT_NAME, TensorProto.UINT8, ["batch", *self.input_shape[1:]])],
            [helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["batch", outputs])],
            [*graph.initializer, *(numpy_helper.from_array(array, name) for name, array in arrays.items())],
        )  # fmt: skip
        return helper.make_model(body, opset_imports=network.opset_import, ir_version=network.ir_version)

    def _check_outputs(self, graph: onnx.ModelProto) -> None:
        images = sample_pictures(CHECK_IMAGES, self.input_shape[1:], seed=0)
        expected, original = self._run(images)
        if self._logits != self._signature.output:
            shares = np.exp(original) if (original < 0).any() else original
            if not np.abs(softmax(expected) - shares).max() <= TOLERANCE:
                raise ExportError(f"{self._name} ends with a softmax over something other than its labels")
        elif (expected >= 0).all() and np.allclose(expected.sum(axis=1), 1, atol=1e-3):
            raise ExportError(
                f"{self._name} returns probabilities that no softmax at its end computes: export it again with logits "
                "as its output"
            )
        _refuse_violation(self._name, graph)
        session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
        difference = relative_difference(expected, run_logits(session, images))
        if not difference <= TOLERANCE:  # NaN also fails
            raise ExportError(
                f"{self._name} returns different values after wrapping (relative difference {difference:.2g})"
            )


def is_onnx(path: Path) -> bool:
    """Return True if a file has the suffix of ONNX."""
    return path.suffix.lower() == ".onnx"


def _read(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        raise ModelNotFoundError(f"no model at {path}: expected an .onnx file")
    if path.stat().st_size > MAX_BYTES:
        raise ModelError(f"{path} is larger than {MAX_BYTES >> 20} MB, the limit of the runtime")
    try:
        data = path.read_bytes()
        summary = _summarize(path, data)
        foreign = summary.domains - {"", "ai.onnx"}
        if foreign or any(tensor.external for tensor in summary.tensors):
            reason = f"operators of {', '.join(sorted(foreign))}" if foreign else "tensors in another file"
            raise ExportError(f"{path} contains {reason}: export it again as one file of standard operators")
        model = onnx.load_model_from_string(data)
        onnx.checker.check_model(model)
    except EdgeInferError:
        raise
    except Exception as error:  # the type of the exception depends on the damaged part of the file
        raise ModelError(f"{path} is not a valid ONNX model: {first_line(error)}") from error
    return model


def _summarize(path: Path, data: bytes) -> OnnxSummary:
    try:
        return summarize(data)
    except ModelError as error:
        raise ModelError(f"{path} is {error}") from error


def _signature(name: str, model: onnx.ModelProto, labels: int) -> Signature:
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in stored]
    if len(inputs) != 1:
        raise ExportError(f"{name} has the inputs {', '.join(v.name for v in inputs)}: expected one input")
    shape, element = _dims(inputs[0]), inputs[0].type.tensor_type.elem_type
    outputs = [
        value for value in model.graph.output if _dims(value)[1:2] == [labels] and max([*_dims(value)[2:], 1]) == 1
    ]
    if len(outputs) != 1:
        found = ", ".join(f"{value.name} {_dims(value)}" for value in model.graph.output)
        raise ExportError(f"{name} has the outputs {found}: expected one with a value for each of {labels} `labels`")
    if len(shape) != 4 or element not in (*FLOATS, TensorProto.UINT8):
        raise ExportError(f"{name} takes {TensorProto.DataType.Name(element)} {shape}: expected floats or uint8 of "
                          "shape (batch, channels, height, width) or (batch, height, width, channels)")  # fmt: skip
    channels_first = shape[1] in (1, 3) and shape[3] not in (1, 3)
    channels = shape[1] if channels_first else shape[3]
    height, width = (shape[2], shape[3]) if channels_first else (shape[1], shape[2])
    if channels not in (1, 3) or 0 in (height, width):
        raise ExportError(f"{name} takes faces of shape {shape[1:]} (0: free): expected 1 or 3 channels and a fixed "
                          "height and width; export it again with a fixed size")  # fmt: skip
    return Signature(inputs[0].name, outputs[0].name, (height, width), channels, channels_first, element, shape[0])


def _check_colour(name: str, channels: int, colour: Colour | None) -> Colour:
    if channels == 1:
        if colour in (None, "grey"):
            return "grey"
        raise UsageError(f"{name} takes one channel, but `colour` is {colour}: pass grey or leave it out")
    if colour is None:
        raise UsageError(f"{name} takes three channels in an unknown order: pass `colour` (rgb, bgr, or grey to repeat "
                         "a grey face)")  # fmt: skip
    return colour


def _refuse_violation(name: str, graph: onnx.ModelProto) -> None:
    violation = find_violation(summarize(graph.SerializeToString()), (INPUT_NAME,), (OUTPUT_NAME,))
    if violation:
        raise ExportError(f"{name} {violation}")


def _dims(value: onnx.ValueInfoProto) -> list[int]:
    """Return the shape of a value, 0 for a free dimension."""
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]
