"""Bounds on the arithmetic and the intermediate results of a model, from the shapes of its operators."""

from __future__ import annotations

import math
from collections.abc import Iterator

from edgeinfer.model.onnx_reader import OnnxSummary
from edgeinfer.model.operation import Inputs, Operation, Value
from edgeinfer.model.shapes import convolution_weights, matmul_shapes, output_values

MAX_BATCH = 16
"""Maximum number of faces per onnxruntime call; VGG16 at 224 pixels stays within the memory limit with 16."""
MAX_OPERATIONS = 50 * 10**9
"""Maximum number of multiply-adds per face, equal to 100 GFLOP; VGG16 at 224 pixels needs 15.5e9."""
MAX_INTERMEDIATE = 2**27
"""Maximum number of elements of one intermediate result per face, the same as for a stored tensor."""
MAX_FOLDED = 2**27
"""Maximum number of elements computed from stored tensors only, which onnxruntime keeps when it loads a model."""
MAX_RANK = 8
_ELEMENT_COST = 16
"""Number of multiply-adds that take as long as one elementwise operation, which is limited by memory."""
_SLOW_COST = 64
_SLOW = frozenset(
    """Acos Acosh Asin Asinh Atan Atanh Celu Cos Cosh Div Elu Erf Exp Gelu HardSwish LRN Log LogSoftmax Mish Mod Pow
    Resize Selu Sigmoid Sin Sinh Softmax Softplus Softsign Sqrt Tan Tanh""".split()  # noqa: SIM905 - as in `admission`
)


def find_excess(summary: OnnxSummary, shape: tuple[int, ...], max_batch: int) -> str | None:
    """Return the bound that a model exceeds, or None.

    Args:
        summary: Summary of a model that passed the admission rules.
        shape: Shape of one face, without the batch size.
        max_batch: Largest number of faces per call.

    Returns:
        The predicate of a sentence with the file as its subject, or None if the model may be run.
    """
    # Without these operators, dimensions can only be proportional to the batch size.
    computed = any(node.op_type in ("Shape", "Size") for node in summary.nodes)
    batches = range(1, max_batch + 1) if computed else (1, max_batch)
    try:
        return next(filter(None, (_find_excess(summary, (batch, *shape), batch) for batch in batches)), None)
    except ValueError as error:
        return f"{error}; export it again"


def propagate(summary: OnnxSummary, shape: tuple[int, ...]) -> Iterator[tuple[Operation, tuple[Value, ...]]]:
    """Yield each operator with its input values, and its output values.

    Args:
        summary: Summary of a model that passed the admission rules.
        shape: Shape of the input, including the batch size.

    Raises:
        ValueError: A shape is unknown; the message is the predicate of a sentence with the file as its subject.
    """
    values = {tensor.name: Value(tensor.dims, tensor.values) for tensor in summary.tensors}
    values[summary.inputs[0]] = Value(shape)
    for node in summary.nodes:
        try:
            operation = Operation(node, [_find(values, name) for name in node.inputs])
            outputs = output_values(operation)
        except ValueError as error:
            raise ValueError(f"has an operator {node.op_type} with {error}") from error
        yield operation, outputs
        for index, name in enumerate(node.outputs):
            values[name] = outputs[index] if index < len(outputs) else Value(outputs[0].shape)


def _find_excess(summary: OnnxSummary, shape: tuple[int, ...], batch: int) -> str | None:
    operations = folded = 0
    constants = {"", *(tensor.name for tensor in summary.tensors)}
    for operation, outputs in propagate(summary, shape):
        node = operation.node
        if constants.issuperset(node.inputs) and node.op_type != "DequantizeLinear":  # the only one that is not folded
            constants.update(node.outputs)
            folded += sum(value.count for value in outputs)
        if folded > MAX_FOLDED:
            return f"computes more than {MAX_FOLDED} elements from stored tensors only; export it again"
        for value in outputs:
            if value.count > MAX_INTERMEDIATE * batch or len(value.shape) > MAX_RANK:
                return (
                    f"computes a tensor of {value.count:.3g} elements and {len(value.shape)} dimensions; at most "
                    f"{MAX_INTERMEDIATE} elements per face and {MAX_RANK} dimensions are accepted"
                )
        operations += _count(operation, outputs)
        if operations > MAX_OPERATIONS * batch:
            return f"needs more than {MAX_OPERATIONS / 1e9:g} billion multiply-adds per face; use a smaller model"
    return None


def _find(values: dict[str, Value], name: str) -> Value | None:
    if not name:
        return None
    if name not in values:
        raise ValueError("an input that no earlier operator computes")
    return values[name]


def _count(operation: Operation, outputs: tuple[Value, ...]) -> int:
    """Return the work of one operator in multiply-adds."""
    node, written = operation.node, sum(value.count for value in outputs)
    read = _total(operation.inputs)
    cost = _SLOW_COST if node.op_type in _SLOW else _ELEMENT_COST
    work = (read + written) * cost
    if node.op_type in ("Conv", "ConvInteger", "QLinearConv"):
        work += written * math.prod(convolution_weights(operation)[1:])
    elif node.op_type == "ConvTranspose":
        work += operation.value(0).count * math.prod(convolution_weights(operation)[1:])
    elif node.op_type in ("Gemm", "MatMul", "MatMulInteger", "QLinearMatMul"):
        first, second = matmul_shapes(operation)
        work += written * max(first[-1], second[-2])
    elif node.op_type in ("AveragePool", "LpPool", "MaxPool"):
        work += written * math.prod(operation.integers("kernel_shape") or ()) * cost
    elif node.op_type == "LRN":
        work += written * operation.integer("size", 1) * cost
    return work


def _total(inputs: Inputs) -> int:
    return sum(value.count for value in inputs if value is not None)
