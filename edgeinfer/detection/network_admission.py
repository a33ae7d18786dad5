"""Admission rules for YuNet files, applied before onnxruntime parses them.

A damaged or hostile file may crash the process. Therefore the operators, the shapes of all tensors and the arithmetic
are checked first, by the rules for expression models and those below.
"""

from __future__ import annotations

import math
from pathlib import Path

from edgeinfer.errors import ModelError, shown_path
from edgeinfer.model.admission import find_violation
from edgeinfer.model.cost import find_excess, propagate
from edgeinfer.model.onnx_reader import OnnxSummary, summarize
from edgeinfer.model.operation import Operation, Value
from edgeinfer.model.shapes import convolution_weights

MAX_BYTES = 32 * 2**20
SIDE = 640
"""Side of the picture, in pixels, for which the shapes are computed."""
STRIDES = (8, 16, 32)
OUTPUTS = {f"{name}_{stride}": count for name, count in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
           for stride in STRIDES}  # fmt: skip
"""Name of each output and its numbers per position."""
OPERATORS = frozenset(
    """Add BatchNormalization Clip Concat Constant Conv DequantizeLinear Identity LeakyRelu MaxPool Mul QuantizeLinear
    Relu Reshape Resize Sigmoid Transpose""".split()  # noqa: SIM905 - as in `admission`
)


def read_network(path: Path) -> bytes:
    """Return the content of a YuNet file.

    Raises:
        ModelError: The file cannot be read or is not a YuNet model.
    """
    shown = shown_path(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ModelError(f"{shown} cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise ModelError(f"{shown} is larger than {MAX_BYTES >> 20} MB; expected a YuNet model")
    try:
        violation = _find_violation(summarize(data))
    except (ModelError, ValueError) as error:
        violation = str(error)
    if violation:
        raise ModelError(f"{shown} is not a YuNet model: {violation}")
    return data


def _find_violation(summary: OnnxSummary) -> str | None:
    outputs = summary.outputs if sorted(summary.outputs) == sorted(OUTPUTS) else tuple(OUTPUTS)
    foreign = {node.op_type for node in summary.nodes} - OPERATORS
    violation = find_violation(summary, ("input",), outputs)
    if violation or foreign:
        return violation or f"it uses the operator {min(foreign)[:40]}"
    excess = find_excess(summary, (3, SIDE, SIDE), 1)
    if excess:
        return excess
    shapes: dict[str, tuple[int, ...]] = {}
    for operation, values in propagate(summary, (1, 3, SIDE, SIDE)):
        if len(operation.node.outputs) != 1 or not _is_consistent(operation, values[0]):
            return f"an operator {operation.node.op_type} has inconsistent shapes"
        shapes[operation.node.outputs[0]] = values[0].shape
    for name, count in OUTPUTS.items():
        positions = (SIDE // int(name.rpartition("_")[2])) ** 2
        if shapes.get(name) != (1, positions, count):
            return f"the output {name} has the shape {shapes.get(name)}; expected {(1, positions, count)}"
    return None


def _is_consistent(operation: Operation, output: Value) -> bool:
    """Return True if the inputs and attributes of an operator match each other."""
    node, shape = operation.node, operation.value(0).shape
    if node.op_type == "Conv":
        weights, bias = convolution_weights(operation), operation.inputs[2] if len(operation.inputs) > 2 else None
        group = operation.integer("group", 1)
        return (
            len(weights) == 4
            and weights[1] * group == shape[1]
            and weights[0] % group == 0
            and (bias is None or bias.shape == (weights[0],))
            and operation.integers("kernel_shape") == weights[2:]
            and _has_window_attributes(operation)
        )
    if node.op_type == "MaxPool":
        return (
            len(shape) == 4 and len(operation.integers("kernel_shape") or ()) == 2 and _has_window_attributes(operation)
        )
    if node.op_type in ("Add", "Mul"):
        return len(operation.inputs) == 2 and operation.value(1).shape in (shape, (), (1,))
    if node.op_type == "Reshape":
        return output.count == math.prod(shape)
    return True


def _has_window_attributes(operation: Operation) -> bool:
    """Return True if all attributes of a convolution or pooling have two spatial dimensions."""
    lengths = {"strides": 2, "dilations": 2, "pads": 4}
    present = {name: operation.integers(name) for name in lengths}
    return all(values is None or len(values) == lengths[name] for name, values in present.items())
