"""Conversion of a Keras model to a float32 ONNX graph that takes raw uint8 faces and returns logits."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime as ort
import tensorflow as tf
import tf2onnx

from edgeinfer.errors import CapabilityError
from edgeinfer.model.card import INPUT_NAME, OUTPUT_NAME
from edgeinfer.model.verify import sample_pictures
from edgeinfer_export.errors import ExportError, first_line
from edgeinfer_export.verify.verdict import TOLERANCE, relative_difference, run_logits

OPSET = 17
CHECK_IMAGES = 4
"""Number of generated images on which each converter's graph is compared with Keras."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """A float32 graph and the converter that made it.

    Attributes:
        graph: Model from `image` (batch, H, W, C) uint8 to `logits` (batch, K) float32, opset 17.
        converter: Key of the converter in `CONVERTERS`.
        failed: Failure of each converter that was tried before it, one sentence each.
    """

    graph: onnx.ModelProto
    converter: str
    failed: tuple[str, ...]


def to_onnx(model: keras.Model) -> Conversion:
    """Convert a model with the first of `CONVERTERS` whose graph agrees with Keras.

    Batch normalization and constant factors are folded into the convolutions, node names and order depend on the
    graph alone, and only standard operators remain.

    Args:
        model: Functional model from (B, H, W, C) uint8 to (B, K) float32.

    Raises:
        CapabilityError: Keras uses a backend other than TensorFlow.
        ExportError: No converter produces a correct graph.
    """
    if keras.backend.backend() != "tensorflow":
        raise CapabilityError(
            f"the Keras backend is {keras.backend.backend()}, but the conversion to ONNX requires TensorFlow: "
            "set KERAS_BACKEND=tensorflow"
        )
    failed = []
    for name, convert in CONVERTERS.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the converters use deprecated NumPy functions
                graph = finish_graph(convert(model))
            _check_outputs(model, graph)
        except Exception as error:  # converters raise KeyError, AttributeError and others for unsupported layers
            failed.append(f"{name}: {_reason(error)}")
        else:
            return Conversion(graph, name, tuple(failed))
    raise ExportError(f"the model cannot be converted to ONNX; {'; '.join(failed)}")


def finish_graph(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold the constants of a graph, bring it into its canonical form and check it.

    Raises:
        ExportError: The graph has other inputs or outputs than a published model.
    """
    graph = canonicalize(_fold_constants(_with_constant_shapes(model)))
    onnx.checker.check_model(graph, full_check=True)
    _check_signature(graph)
    return graph


def _from_functional(model: keras.Model) -> onnx.ModelProto:
    signature = [tf.TensorSpec(model.input_shape, tf.uint8, name=INPUT_NAME)]
    return tf2onnx.convert.from_keras(model, signature, opset=OPSET)[0]


def _from_function(model: keras.Model) -> onnx.ModelProto:
    signature = [tf.TensorSpec(model.input_shape, tf.uint8, name=INPUT_NAME)]
    function = tf.function(lambda image: model(image, training=False), input_signature=signature)
    return tf2onnx.convert.from_function(function, signature, opset=OPSET)[0]


def _from_export(model: keras.Model) -> onnx.ModelProto:
    model(np.zeros((1, *model.input_shape[1:]), np.uint8))  # Keras exports only a model that has been called
    with tempfile.TemporaryDirectory(prefix="edgeinfer-export-") as folder:
        path = Path(folder) / "exported.onnx"
        model.export(path, format="onnx", opset_version=OPSET, verbose=False)
        return onnx.load(path)


CONVERTERS: dict[str, Callable[[keras.Model], onnx.ModelProto]] = {
    "tf2onnx from the layers": _from_functional,
    "tf2onnx from the traced function": _from_function,
    "Keras' own export": _from_export,
}


def _check_outputs(model: keras.Model, graph: onnx.ModelProto) -> None:
    images = sample_pictures(CHECK_IMAGES, model.input_shape[1:], seed=0)
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = np.asarray(model.predict_on_batch(images), dtype=np.float32)
    difference = relative_difference(expected, run_logits(session, images))
    if not difference <= TOLERANCE:  # NaN also fails
        raise ExportError(f"its graph differs from Keras by {difference:.2g} (relative) on generated images")


def canonicalize(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return an equivalent model whose serialization depends on the network alone.

    Nodes are sorted from the outputs backwards and named after their operator, tensors after the node that produces
    or first uses them. Nodes and tensors that no output depends on are dropped, as are unused operator domains. A
    single input is renamed to `image`, a single output to `logits`.

    Args:
        model: Model without subgraphs; its nodes and tensors are modified.
    """
    graph = model.graph
    nodes = _sorted_nodes(graph)
    names = {"": "", **{value.name: value.name for value in (*graph.input, *graph.output)}}
    if len(graph.input) == len(graph.output) == 1:
        names |= {graph.input[0].name: INPUT_NAME, graph.output[0].name: OUTPUT_NAME}
    stored = {tensor.name: tensor for tensor in graph.initializer}
    tensors = []
    for position, node in enumerate(nodes):
        node.name = f"{node.op_type.lower()}_{position}"
        node.doc_string = ""
        for index, name in enumerate(node.input):
            if name in stored and name not in names:
                names[name] = f"{node.name}.{index}"
                tensors.append(stored[name])
            node.input[index] = names[name]
        for index, name in enumerate(node.output):
            names.setdefault(name, node.name if index == 0 else f"{node.name}:{index}")
            node.output[index] = names[name]
    for tensor in tensors:
        tensor.name = names[tensor.name]
    for value in (*graph.input, *graph.output):
        value.name = names[value.name]
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    body = onnx.helper.make_graph(nodes, "edgeinfer", list(graph.input), list(graph.output), tensors)
    used = {node.domain for node in nodes}
    opsets = [o for o in model.opset_import if o.domain in used]
    return onnx.helper.make_model(body, opset_imports=opsets, ir_version=model.ir_version, producer_name="edgeinfer")


def _sorted_nodes(graph: onnx.GraphProto) -> list[Any]:
    """Return the nodes that the outputs depend on, in topological order from a depth-first search."""
    producer = {name: index for index, node in enumerate(graph.node) for name in node.output}
    order: dict[int, None] = {}
    stack = [value.name for value in reversed(graph.output)]
    while stack:
        index = producer.get(stack[-1])
        if index is None or index in order:
            stack.pop()
            continue
        missing = [name for name in graph.node[index].input if name in producer and producer[name] not in order]
        if missing:
            stack.extend(reversed(missing))
        else:
            order[index] = None
            stack.pop()
    return [graph.node[index] for index in order]


def _with_constant_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace computed target shapes of Reshape with constants, -1 for the batch; modify and return the model.

    tf2onnx computes the shape for Flatten and Reshape with Shape and Slice, which the runtime does not admit.
    """
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {
        value.name: [dim.dim_value if dim.HasField("dim_value") else -1 for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.output)
        if value.type.tensor_type.HasField("shape")
    }
    stored = {tensor.name for tensor in model.graph.initializer}
    for index, node in enumerate(model.graph.node):
        shape = shapes.get(node.output[0], [])
        if node.op_type == "Reshape" and node.input[1] not in stored and shape.count(-1) == 1 and 0 not in shape:
            constant = onnx.numpy_helper.from_array(np.array(shape, np.int64), f"{node.output[0]}.shape.{index}")
            model.graph.initializer.append(constant)
            node.input[1] = constant.name
    return model


def _fold_constants(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold constants with onnxruntime, because tf2onnx leaves a multiplication after each depthwise convolution."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    with tempfile.TemporaryDirectory(prefix="edgeinfer-export-") as folder:
        options.optimized_model_filepath = str(Path(folder) / "folded.onnx")
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(options.optimized_model_filepath)


def _check_signature(model: onnx.ModelProto) -> None:
    inputs, outputs = ([value.name for value in values] for values in (model.graph.input, model.graph.output))
    if inputs != [INPUT_NAME] or outputs != [OUTPUT_NAME]:
        raise ExportError(
            f"its graph maps {', '.join(inputs)} to {', '.join(outputs)}: "
            f"expected one input {INPUT_NAME} and one output {OUTPUT_NAME}"
        )


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, ExportError) else f"{type(error).__name__}, {first_line(error)}"
