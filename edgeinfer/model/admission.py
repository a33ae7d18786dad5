"""Which models from strangers may be run: judged on the file alone, before onnxruntime sees it.

onnxruntime checks much itself, but it may end the process, or take all memory, over a damaged or hostile
graph. So a model may hold only what expression networks need.
"""

from __future__ import annotations

import math

from edgeinfer.model.onnx_reader import Node, OnnxSummary, Tensor

MAX_ELEMENTS = 2**27
"""Of one stored tensor; with four bytes each they fill the largest file that is read."""
MAX_DIM = 2**24
MAX_NODES = 20_000
MAX_METADATA = 2**20
"""Characters of all keys and values together."""

# Bytes of an element by TensorProto.DataType: float uint8 int8 uint16 int16 int32 int64 bool float16 double bfloat16.
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
    """.split()  # noqa: SIM905 - a list of literals would fill a page
)
"""Plain arithmetic, shapes and quantization. Control flow, sequences, texts, random numbers and what makes large
tensors out of small numbers are left out, and so is Slice: on a shape that came out negative it ends the process."""

_RANGES = {
    "kernel_shape": (1, 1024), "strides": (1, 1024), "dilations": (1, 1024), "group": (1, 2**16), "pads": (-1024, 1024),
    "output_padding": (0, 1024), "output_shape": (1, 1024), "blocksize": (1, 64), "size": (1, 1024),
}  # fmt: skip
_ANY_RANGE = (-(2**31), 2**31 - 1)


def refusal(summary: OnnxSummary, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> str | None:
    """Why a model may not be run.

    Args:
        summary: of its file.
        inputs: what it should take.
        outputs: what it should give.

    Returns:
        The end of a sentence that begins with the file's name, or None for a model that may be run.
    """
    if any(tensor.external for tensor in summary.tensors):
        return "keeps tensors in another file; only self-contained models are loaded"
    foreign = summary.domains - {"", "ai.onnx"}
    if foreign:
        return f"uses operators from {_listed(foreign)}; only standard ONNX operators are loaded"
    if summary.inputs != inputs or summary.outputs != outputs:
        return (
            f"maps {_listed(summary.inputs)} to {_listed(summary.outputs)}; "
            f"expected one input {_listed(inputs)} and one output {_listed(outputs)}"
        )
    if summary.extras:
        return f"holds {_listed(summary.extras)}; only flat graphs of plain tensors are loaded"
    if sum(len(key) + len(value) for key, value in summary.metadata.items()) > MAX_METADATA:
        return f"has metadata of more than {MAX_METADATA >> 20} MB; export it again"
    if len(summary.nodes) > MAX_NODES or not all(0 <= dim <= MAX_DIM for dim in summary.dims):
        return "has a graph or values of absurd size; export it again"
    problems = (*map(_node_problem, summary.nodes), *map(_tensor_problem, summary.tensors))
    return next((problem for problem in problems if problem), None)


def _node_problem(node: Node) -> str | None:
    if node.kind not in OPERATORS:
        return f"uses the operator {node.kind[:40]}; expression networks need none like it, so it is not loaded"
    for name, values in node.integers:
        low, high = _RANGES.get(name, _ANY_RANGE)
        if not all(low <= value <= high for value in values):
            return f"has a {node.kind} with {name[:40]} out of range ({low} to {high}); export it again"
    return None


def _tensor_problem(tensor: Tensor) -> str | None:
    size = _ELEMENT_BYTES.get(tensor.kind)
    if size is None:
        return f"stores a tensor of type {tensor.kind}; only plain numbers are loaded"
    elements = math.prod(tensor.dims)
    if min(tensor.dims, default=0) < 0 or elements > MAX_ELEMENTS:
        return f"stores a tensor of shape {list(tensor.dims)}; expected at most {MAX_ELEMENTS} elements"
    if tensor.raw_bytes + size * tensor.held != size * elements or (tensor.raw_bytes and tensor.held):
        return f"stores a tensor of shape {list(tensor.dims)} with another number of elements; export it again"
    return None


def _listed(names: tuple[str, ...] | frozenset[str]) -> str:
    shown = sorted(names) if isinstance(names, frozenset) else names
    return ", ".join(name[:40] for name in shown[:4]) or "nothing"
