"""Shape propagation through the operators that the admission rules accept.

All dimensions are known, because the batch size is given. Dimensions that an operator computes from the elements of a
tensor are followed through short integer tensors. Where the inputs of an operator do not match, which onnxruntime
rejects later, the result is an upper bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from edgeinfer.model.onnx_reader import MAX_VALUES
from edgeinfer.model.operation import Operation, Value, checked_axis

MAX_INTEGER = 2**40
"""Larger elements are treated as unknown, so that no integer grows without limit."""


def output_values(operation: Operation) -> tuple[Value, ...]:
    """Return the outputs of an operator; all further outputs have the shape of the first.

    Raises:
        ValueError: The shape is unknown; the message completes "has an operator X with ".
    """
    rule = _RULES.get(operation.node.op_type)
    try:
        values = _broadcast_all(operation) if rule is None else rule(operation)
    except (IndexError, OverflowError, ZeroDivisionError) as error:
        raise ValueError("invalid inputs") from error
    if any(dim < 0 for value in values for dim in value.shape):
        raise ValueError("a negative output size")
    return values


def _broadcast(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    rank = max(len(first), len(second))
    padded = [(1,) * (rank - len(shape)) + shape for shape in (first, second)]
    return tuple(max(pair) if 0 not in pair else 0 for pair in zip(*padded, strict=True))


def _broadcast_all(operation: Operation) -> tuple[Value, ...]:
    """Broadcast the inputs of an elementwise operator; compute the elements for the four used in shape arithmetic."""
    shape = operation.value(0).shape
    for value in operation.inputs:
        shape = _broadcast(shape, value.shape if value else ())
    compute = _ARITHMETIC.get(operation.node.op_type)
    elements = None
    if compute and len(operation.inputs) == 2 and len(shape) <= 1:
        first, second = (operation.value(index).elements for index in (0, 1))
        count = math.prod(shape)
        if first and second and {len(first), len(second)} <= {1, count}:
            wide = [side * count if len(side) == 1 else side for side in (first, second)]
            elements = tuple(compute(a, b) for a, b in zip(*wide, strict=True))
            if not all(abs(n) <= MAX_INTEGER for n in elements):
                elements = None
    return (Value(shape, elements),)


def _divide(a: float, b: float) -> float:
    return int(a / b) if isinstance(a, int) and isinstance(b, int) else a / b


_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "Add": lambda a, b: a + b, "Sub": lambda a, b: a - b, "Mul": lambda a, b: a * b, "Div": _divide,
}  # fmt: skip


def _same(operation: Operation) -> tuple[Value, ...]:
    return (Value(operation.value(0).shape),)


def _copy(operation: Operation) -> tuple[Value, ...]:
    return (operation.value(0),)


def _cast(operation: Operation) -> tuple[Value, ...]:
    value = operation.value(0)
    integer = operation.integer("to", 1) in (6, 7)
    return (Value(value.shape, value.elements and tuple(int(n) if integer else n for n in value.elements)),)


def _constant(operation: Operation) -> tuple[Value, ...]:
    tensor = operation.node.tensor
    if tensor is not None:
        return (Value(tensor.dims, tensor.values),)
    integers = operation.integers("value_ints") or operation.integers("value_int")
    return (Value((len(integers),) if integers else (MAX_VALUES,), integers),)


def _shape(operation: Operation) -> tuple[Value, ...]:
    shape = operation.value(0).shape
    start, end = operation.integer("start", 0), operation.integer("end", len(shape))
    return (Value((len(shape[start:end]),), shape[start:end]),)


def _size(operation: Operation) -> tuple[Value, ...]:
    return (Value((), (operation.value(0).count,)),)


def _gather(operation: Operation) -> tuple[Value, ...]:
    data, indices = operation.value(0), operation.value(1)
    axis = operation.axis(0, len(data.shape))
    elements = None
    if len(data.shape) == 1 and data.elements is not None and indices.elements is not None:
        elements = tuple(data.elements[int(n)] for n in indices.elements)
    return (Value((*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :]), elements),)


def _concat(operation: Operation) -> tuple[Value, ...]:
    values = [operation.value(index) for index in range(len(operation.inputs))]
    axis = operation.axis(1, len(values[0].shape))
    shape = values[0].shape
    elements: tuple[float, ...] | None = None
    if len(shape) == 1 and sum(value.count for value in values) <= MAX_VALUES:
        parts = [value.elements for value in values]
        elements = None if None in parts else tuple(n for part in parts if part for n in part)
    return (Value((*shape[:axis], sum(value.shape[axis] for value in values), *shape[axis + 1 :]), elements),)


def _reshape(operation: Operation) -> tuple[Value, ...]:
    value, target = operation.value(0), operation.integers("shape", 1)
    if target is None or target.count(-1) > 1:
        raise ValueError("an output size that is not known from the file")
    keep = not operation.integer("allowzero", 0)
    dims = [value.shape[i] if dim == 0 and keep else dim for i, dim in enumerate(target)]
    if -1 in dims:
        rest = math.prod(dim for dim in dims if dim != -1)
        dims[dims.index(-1)] = math.ceil(value.count / rest) if rest else 0
    return (Value(tuple(dims), value.elements),)


def _flatten(operation: Operation) -> tuple[Value, ...]:
    shape = operation.value(0).shape
    axis = operation.axis(1, len(shape))
    return (Value((math.prod(shape[:axis]), math.prod(shape[axis:]))),)


def _transpose(operation: Operation) -> tuple[Value, ...]:
    shape = operation.value(0).shape
    order = operation.integers("perm") or tuple(reversed(range(len(shape))))
    if sorted(order) != list(range(len(shape))):
        raise ValueError("an invalid permutation")
    return (Value(tuple(shape[i] for i in order)),)


def _squeeze(operation: Operation) -> tuple[Value, ...]:
    value, axes = operation.value(0), operation.integers("axes", 1)
    rank = len(value.shape)
    dropped = {checked_axis(a, rank) for a in axes} if axes else {i for i, dim in enumerate(value.shape) if dim == 1}
    return (Value(tuple(dim for i, dim in enumerate(value.shape) if i not in dropped), value.elements),)


def _unsqueeze(operation: Operation) -> tuple[Value, ...]:
    value, axes = operation.value(0), operation.integers("axes", 1) or ()
    rank = len(value.shape) + len(axes)
    added = {checked_axis(a, rank) for a in axes}
    dims = iter(value.shape)
    return (Value(tuple(1 if i in added else next(dims, 1) for i in range(rank)), value.elements),)


def _split(operation: Operation) -> tuple[Value, ...]:
    value, sizes = operation.value(0), operation.integers("split", 1)
    axis, count = operation.axis(0, len(value.shape)), len(operation.node.outputs)
    sizes = sizes or (math.ceil(value.shape[axis] / count),) * count
    return tuple(Value((*value.shape[:axis], size, *value.shape[axis + 1 :])) for size in sizes)


def _expand(operation: Operation) -> tuple[Value, ...]:
    target = operation.integers("shape", 1)
    if target is None:
        raise ValueError("an absent input")
    return (Value(_broadcast(operation.value(0).shape, target)),)


def _tile(operation: Operation) -> tuple[Value, ...]:
    repeats = operation.integers("repeats", 1) or ()
    return (Value(tuple(dim * n for dim, n in zip(operation.value(0).shape, repeats, strict=False))),)


def _pad(operation: Operation) -> tuple[Value, ...]:
    shape, pads = operation.value(0).shape, operation.integers("pads", 1) or ()
    axes = operation.integers("", 3) or tuple(range(len(shape)))
    dims = list(shape)
    for i, axis in enumerate(axes):
        dims[axis] += pads[i] + pads[i + len(axes)]
    return (Value(tuple(dims)),)


def _resize(operation: Operation) -> tuple[Value, ...]:
    shape, sizes, scales = operation.value(0).shape, operation.integers("", 3), operation.elements(2)
    axes = operation.integers("axes") or tuple(range(len(shape)))
    dims = list(shape)
    for i, axis in enumerate(axes):
        dims[axis] = sizes[i] if sizes else math.floor(dims[axis] * (scales or ())[i])
    return (Value(tuple(dims)),)


def _depth_to_space(operation: Operation) -> tuple[Value, ...]:
    (n, c, h, w), block = operation.value(0).shape, operation.integer("blocksize", 1)
    if operation.node.op_type == "DepthToSpace":
        return (Value((n, c // block**2, h * block, w * block)),)
    return (Value((n, c * block**2, h // block, w // block)),)


def _reduce(operation: Operation) -> tuple[Value, ...]:
    shape = operation.value(0).shape
    axes: tuple[int, ...] | None
    if operation.node.op_type.startswith("Arg"):
        axes = (operation.integer("axis", 0),)
    else:
        axes = operation.integers("axes", 1)
        if not axes and operation.integer("noop_with_empty_axes", 0):
            return (Value(shape),)
    reduced = {checked_axis(a, len(shape)) for a in axes} if axes else set(range(len(shape)))
    if operation.integer("keepdims", 1):
        return (Value(tuple(1 if i in reduced else dim for i, dim in enumerate(shape))),)
    return (Value(tuple(dim for i, dim in enumerate(shape) if i not in reduced)),)


def _global_pool(operation: Operation) -> tuple[Value, ...]:
    shape = operation.value(0).shape
    return (Value((*shape[:2], *[1] * (len(shape) - 2))),)


def _matmul(operation: Operation) -> tuple[Value, ...]:
    first, second = matmul_shapes(operation)
    return (Value((*_broadcast(first[:-2], second[:-2]), first[-2], second[-1])),)


def matmul_shapes(operation: Operation) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shapes of the two factors of a matrix product, with two dimensions or more each."""
    index = 3 if operation.node.op_type == "QLinearMatMul" else 1
    first, second = operation.value(0).shape, operation.value(index).shape
    first, second = (1, *first) if len(first) == 1 else first, (*second, 1) if len(second) == 1 else second
    if min(len(first), len(second)) < 2:
        raise ValueError("scalar factors")
    if operation.node.op_type == "Gemm":
        first = first[::-1] if operation.integer("transA", 0) else first
        second = second[::-1] if operation.integer("transB", 0) else second
    return first, second


def _convolution(operation: Operation) -> tuple[Value, ...]:
    shape, weights = operation.value(0).shape, convolution_weights(operation)
    kernel = weights[2:]
    return (Value((shape[0], weights[0], *_windows(operation, shape[2:], kernel))),)


def convolution_weights(operation: Operation) -> tuple[int, ...]:
    """Return the shape of the weights of a convolution, with one spatial dimension or more."""
    weights = operation.value(3 if operation.node.op_type == "QLinearConv" else 1).shape
    if len(weights) != len(operation.value(0).shape) or len(weights) < 3:
        raise ValueError("an unexpected number of dimensions")
    return weights


def _transposed_convolution(operation: Operation) -> tuple[Value, ...]:
    shape, weights = operation.value(0).shape, convolution_weights(operation)
    spatial, count = shape[2:], len(shape) - 2
    strides, dilations, extra = (
        operation.integers(name) or (default,) * count
        for name, default in (("strides", 1), ("dilations", 1), ("output_padding", 0))
    )
    # Padding is ignored, because it only makes the output smaller.
    dims = operation.integers("output_shape") or tuple(
        (spatial[i] - 1) * strides[i] + (weights[2 + i] - 1) * dilations[i] + 1 + extra[i] for i in range(count)
    )
    return (Value((shape[0], weights[1] * operation.integer("group", 1), *dims)),)


def _pool(operation: Operation) -> tuple[Value, ...]:
    shape, kernel = operation.value(0).shape, operation.integers("kernel_shape") or ()
    return (Value((*shape[:2], *_windows(operation, shape[2:], kernel))),)


def _windows(operation: Operation, spatial: tuple[int, ...], kernel: tuple[int, ...]) -> list[int]:
    """Return the number of positions of a window along each spatial dimension."""
    count = len(spatial)
    strides, dilations = (operation.integers(name) or (1,) * count for name in ("strides", "dilations"))
    pads = operation.integers("pads") or (0,) * (2 * count)
    auto, round_up = operation.node.auto_pad, operation.integer("ceil_mode", 0)
    sizes = []
    for i, side in enumerate(spatial):
        if auto.startswith("SAME"):
            sizes.append(-(-side // strides[i]))
            continue
        padded = side + (0 if auto == "VALID" else pads[i] + pads[i + count])
        room = padded - (kernel[i] - 1) * dilations[i] - 1
        sizes.append(max(0, (-(-room // strides[i]) if round_up else room // strides[i]) + 1))
    return sizes


def _named(names: str, rule: Callable[[Operation], tuple[Value, ...]]) -> dict[str, Callable[..., tuple[Value, ...]]]:
    return dict.fromkeys(names.split(), rule)


_RULES: dict[str, Callable[[Operation], tuple[Value, ...]]] = {
    **_named(
        "BatchNormalization Clip DequantizeLinear Dropout DynamicQuantizeLinear GroupNormalization "
        "InstanceNormalization LRN LayerNormalization LpNormalization QuantizeLinear",
        _same,
    ),
    **_named("Constant", _constant), **_named("Identity", _copy), **_named("Cast", _cast), **_named("Shape", _shape),
    **_named("Size", _size), **_named("Gather", _gather), **_named("Concat", _concat), **_named("Reshape", _reshape),
    **_named("Flatten", _flatten), **_named("Transpose", _transpose), **_named("Squeeze", _squeeze),
    **_named("Unsqueeze", _unsqueeze), **_named("Split", _split), **_named("Expand", _expand),
    **_named("Tile", _tile), **_named("Pad", _pad), **_named("Resize", _resize),
    **_named("DepthToSpace SpaceToDepth", _depth_to_space),
    **_named(
        "ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd "
        "ReduceSum ReduceSumSquare",
        _reduce,
    ),
    **_named("GlobalAveragePool GlobalLpPool GlobalMaxPool", _global_pool),
    **_named("Gemm MatMul MatMulInteger QLinearMatMul", _matmul),
    **_named("Conv ConvInteger QLinearConv", _convolution), **_named("ConvTranspose", _transposed_convolution),
    **_named("AveragePool LpPool MaxPool", _pool),
}  # fmt: skip
"""Rules by operator. All other accepted operators compute each element from the broadcast inputs."""
