"""Admission rules for untrusted models, applied to the file before onnxruntime parses it.

onnxruntime validates models itself, but a damaged or hostile graph may still crash the process or exhaust memory.
Therefore a model may contain only the constructs that expression networks need.
"""

from __future__ import annotations

import math

from edgeinfer.model.onnx_reader import Node, OnnxSummary, Tensor

MAX_ELEMENTS = 2**27
"""Maximum number of elements of one stored tensor; at four bytes each, they fill the largest accepted file."""
MAX_DIM = 2**24
MAX_NODES = 20_000
MAX_METADATA = 2**20
"""Maximum number of characters in all metadata keys and values together."""

# Bytes per element by TensorProto.DataType: float uint8 int8 uint16 int16 int32 int64 bool float16 double bfloat16.
_ELEMENT_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 16: 2}

OPERATORS = frozenset(
    """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Cast Ceil Celu Clip
    Concat Constant Conv ConvInteger ConvTranspose Cos Cosh DepthToSpace DequantizeLinear Div Dropout
    DynamicQuantizeLinear Elu Equal Erf Exp Expand Flatten Floor Gather Gelu Gemm GlobalAveragePool GlobalLpPool
    GlobalMaxPool Greater GreaterOrEqual GroupNormalization HardSigmoid HardSwish Identity InstanceNormalization LRN
    LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul MatMulInteger Max MaxPool
    Mean MeanVarianceNormalization Min Mish Mod Mul Neg Not Or PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear
    Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
    ReduceSumSquare Relu Reshape Resize Round Selu Shape Sigmoid Sign Sin Sinh Size Softmax Softplus Softsign
    SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile Transpose Unsqueeze Where Xor
    """.split()  # noqa: SIM905 - a list of literals would be three times as long
)
"""Arithmetic, shape and quantization operators. Excluded are control flow, sequences, strings, random numbers and
operators that make large tensors from small numbers. Slice is excluded because it aborts the process if a computed
dimension is negative."""

_RANGES = {
    "kernel_shape": (1, 1024), "strides": (1, 1024), "dilations": (1, 1024), "group": (1, 2**16), "pads": (-1024, 1024),
    "output_padding": (0, 1024), "output_shape": (1, 1024), "blocksize": (1, 64), "size": (1, 1024),
}  # fmt: skip
_ANY_RANGE = (-(2**31), 2**31 - 1)


def find_violation(summary: OnnxSummary, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> str | None:
    """Return the admission rule that a model violates, or None.

    Args:
        summary: Summary of the model file.
        inputs: Expected names of the inputs.
        outputs: Expected names of the outputs.

    Returns:
        The predicate of a sentence with the file as its subject, or None if the model may be run.
    """
    if any(tensor.external for tensor in summary.tensors):
        return "stores tensors in another file; only self-contained models are accepted"
    foreign = summary.domains - {"", "ai.onnx"}
    if foreign:
        return f"uses operators from {_listed(foreign)}; only standard ONNX operators are accepted"
    if summary.inputs != inputs or summary.outputs != outputs:
        return (
            f"has the inputs {_listed(summary.inputs)} and the outputs {_listed(summary.outputs)}; "
            f"expected one input {_listed(inputs)} and one output {_listed(outputs)}"
        )
    if summary.extras:
        return f"contains {_listed(summary.extras)}; only flat graphs of plain tensors are accepted"
    if sum(len(key) + len(value) for key, value in summary.metadata.items()) > MAX_METADATA:
        return f"has more than {MAX_METADATA >> 20} MB of metadata; export it again"
    if len(summary.nodes) > MAX_NODES:
        return f"has {len(summary.nodes)} nodes; at most {MAX_NODES} are accepted"
    if not all(0 <= dim <= MAX_DIM for dim in summary.dims):
        return f"declares a value with a dimension outside 0..{MAX_DIM}; export it again"
    violations = (*map(_node_violation, summary.nodes), *map(_tensor_violation, summary.tensors))
    return next((violation for violation in violations if violation), None)


def _node_violation(node: Node) -> str | None:
    if node.op_type not in OPERATORS:
        return f"uses the operator {node.op_type[:40]}, which is not on the list of accepted operators"
    for name, values in node.integers:
        low, high = _RANGES.get(name, _ANY_RANGE)
        if not all(low <= value <= high for value in values):
            return f"has an operator {node.op_type} with {name[:40]} out of range ({low}..{high}); export it again"
    return None


def _tensor_violation(tensor: Tensor) -> str | None:
    size = _ELEMENT_BYTES.get(tensor.data_type)
    if size is None:
        return f"stores a tensor of data type {tensor.data_type}; only plain numbers are accepted"
    elements = math.prod(tensor.dims)
    if min(tensor.dims, default=0) < 0 or elements > MAX_ELEMENTS:
        return f"stores a tensor of shape {list(tensor.dims)}; at most {MAX_ELEMENTS} elements are accepted"
    if tensor.raw_bytes + size * tensor.typed_elements != size * elements or (
        tensor.raw_bytes and tensor.typed_elements
    ):
        return f"stores a tensor of shape {list(tensor.dims)} with a different number of elements; export it again"
    return None


def _listed(names: tuple[str, ...] | frozenset[str]) -> str:
    shown = sorted(names) if isinstance(names, frozenset) else names
    return ", ".join(name[:40] for name in shown[:4]) or "nothing"
