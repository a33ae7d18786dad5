"""Second output of a published graph: the values from which the last layer computes the logits."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from edgeinfer.model.card import EMBEDDING_NAME, INPUT_NAME, OUTPUT_NAME
from edgeinfer_export.errors import ExportError

AFTER_HEAD = frozenset(
    {"Add", "Cast", "DequantizeLinear", "Gather", "Identity", "QuantizeLinear", "Reshape", "Squeeze"}
)
"""Operators between the last layer and the logits."""


def add_embedding(model: onnx.ModelProto) -> None:
    """Add the input of the last dense layer as the output `embedding`, (batch, D) float32; modify the model.

    Raises:
        ExportError: The network does not end with a dense layer.
    """
    graph = model.graph
    producer = {name: node for node in graph.node for name in node.output}
    node = producer.get(OUTPUT_NAME)
    while node is not None and node.op_type in AFTER_HEAD:
        node = next((producer[name] for name in node.input if name in producer), None)
    if node is None or node.op_type not in ("Gemm", "MatMul"):
        raise ExportError("`embedding` needs a network that ends with a dense layer, and this one does not")
    graph.node.append(helper.make_node("Identity", [node.input[0]], [EMBEDDING_NAME], name="identity_embedding"))
    graph.output.append(onnx.ValueInfoProto(name=EMBEDDING_NAME))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    face = np.zeros((1, *session.get_inputs()[0].shape[1:]), np.uint8)
    shape = session.run([EMBEDDING_NAME], {INPUT_NAME: face})[0].shape
    if len(shape) != 2:
        raise ExportError(f"`embedding` has the shape {shape}: expected one row of values per face")
    graph.output[1].CopyFrom(helper.make_tensor_value_info(EMBEDDING_NAME, TensorProto.FLOAT, ["batch", shape[1]]))
