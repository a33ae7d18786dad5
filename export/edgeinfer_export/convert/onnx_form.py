"""Changes to third-party ONNX graphs: softmax removed, batch size freed, constants in initializers."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

SHAPE_ONLY = frozenset({"Cast", "Flatten", "Identity", "Reshape", "Squeeze"})
"""Operators that may follow a softmax without changing its values."""

IR_VERSION = 8
"""Oldest IR version of a published model, that of opset 17."""


def find_logits_tensor(graph: onnx.GraphProto, output: str) -> str:
    """Return the name of the tensor from which the softmax at the end computes an output.

    Args:
        graph: Graph of a classifier.
        output: Name of its output.

    Returns:
        `output` itself if no softmax or log-softmax precedes it.
    """
    producer = {name: node for node in graph.node for name in node.output}
    node = producer.get(output)
    while node is not None and node.op_type in SHAPE_ONLY:
        node = producer.get(node.input[0])
    return node.input[0] if node is not None and node.op_type in ("Softmax", "LogSoftmax") else output


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of the standard operators."""
    return next(int(opset.version) for opset in model.opset_import if opset.domain in ("", "ai.onnx"))


def with_output(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Return a copy of a model with one tensor as its only output, without the nodes that it does not depend on."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph, needed, kept = copy.graph, {name}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            kept.append(node)
    output = next((value for value in graph.output if value.name == name), None)
    tensor = output or onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
    nodes, tensors = kept[::-1], [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.value_info[:]
    body = onnx.helper.make_graph(nodes, graph.name or "network", list(graph.input), [tensor], tensors)
    copy.graph.CopyFrom(body)
    del copy.metadata_props[:]
    del copy.functions[:]
    return copy


def with_free_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """Free a fixed batch size: in the input, the output and the target shapes of Reshape; modify and return the model.

    Args:
        model: Model with one input besides the initializers.
    """
    graph = onnx.shape_inference.infer_shapes(model).graph
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.output)
    }
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    batch = next(v for v in model.graph.input if v.name not in stored).type.tensor_type.shape.dim[0].dim_value
    constants = stored | {n.output[0]: n.attribute[0].t for n in model.graph.node if n.op_type == "Constant"}
    for index, node in enumerate(model.graph.node):
        if node.op_type != "Reshape" or node.input[0] in constants or node.input[1] not in constants:
            continue
        shape = shapes.get(node.output[0]) or numpy_helper.to_array(constants[node.input[1]]).tolist()
        if shape[:1] == [batch]:
            constant = numpy_helper.from_array(np.array([-1, *shape[1:]], np.int64), f"free.shape.{index}")
            model.graph.initializer.append(constant)
            node.input[1] = constant.name
    for value in (*model.graph.input, *model.graph.output):
        if value.name not in stored and value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
    return model


def remove_redundant_inputs(model: onnx.ModelProto) -> None:
    """Remove the initializers from the inputs, which formats before IR version 4 required there."""
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in stored]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(IR_VERSION, model.ir_version)
