"""From a `.keras` file to a float32 ONNX model: raw uint8 faces in, logits out, scaling in the graph."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import keras
import onnx
import onnxruntime as ort
import tensorflow as tf
import tf2onnx

from edgeinfer.errors import CapabilityError, EdgeInferError
from edgeinfer.model import INPUT_NAME, OUTPUT_NAME
from edgeinfer_export.errors import ExportError
from edgeinfer_train.backbones import BACKBONES
from edgeinfer_train.model import MODEL_FILE, ModelInfo, load_model

OPSET = 17


def read_source(source: Path) -> tuple[keras.Model, ModelInfo]:
    """Read the model of a run folder, or a `.keras` file that `edgeinfer-train fit` wrote.

    Raises:
        ModelNotFoundError: there is no such file.
        ModelError: it is not one of ours.
        ExportError: it is damaged, or has another form than `fit` gives it.
    """
    path = source / MODEL_FILE if source.is_dir() else source
    try:
        model, info = load_model(path)
    except EdgeInferError:
        raise
    except Exception as error:  # a damaged archive makes Keras raise almost anything
        raise ExportError(f"{path} is damaged: {first_line(error)}") from error
    if info.backbone not in BACKBONES:
        raise ExportError(f"{path} has the backbone {info.backbone}; this version knows {', '.join(BACKBONES)}")
    if len(model.inputs) != 1 or len(model.input_shape) != 4 or model.output_shape != (None, len(info.labels)):
        raise ExportError(
            f"{path} maps {model.input_shape} to {model.output_shape}; "
            f"expected one batch of faces and one logit for each of {len(info.labels)} labels"
        )
    return model, info


def to_onnx(model: keras.Model) -> onnx.ModelProto:
    """Convert a Functional model to float32 ONNX.

    Batch normalization and constant factors are folded into the convolutions, names and order depend on the
    graph alone, and only standard operators remain.

    Args:
        model: (B, H, W, C) uint8 to (B, K) float32.

    Returns:
        A model from `image` (batch, H, W, C) uint8 to `logits` (batch, K) float32, opset 17.

    Raises:
        CapabilityError: Keras does not run on TensorFlow.
        ExportError: the model cannot be converted, or the result is not of that form.
    """
    if keras.backend.backend() != "tensorflow":
        raise CapabilityError(
            f"Keras runs on {keras.backend.backend()}, the conversion needs TensorFlow; set KERAS_BACKEND=tensorflow"
        )
    signature = [tf.TensorSpec(model.input_shape, tf.uint8, name=INPUT_NAME)]
    try:
        raw, _ = tf2onnx.convert.from_keras(model, signature, opset=OPSET)
        converted = tidy(_fold(raw))
        onnx.checker.check_model(converted, full_check=True)
    except Exception as error:  # tf2onnx raises KeyError, AttributeError and others for what it does not know
        raise ExportError(
            f"the model cannot be converted to ONNX: {type(error).__name__}, {first_line(error)}"
        ) from error
    _check_form(converted)
    return converted


def tidy(model: onnx.ModelProto) -> onnx.ModelProto:
    """Bring a model without subgraphs to one form, so that the same network always gives the same bytes.

    Nodes are sorted from the outputs backwards and named after their operator, tensors after the node that
    makes or first uses them; what no output needs is dropped, and so are operator domains that no node uses.
    """
    graph = model.graph
    nodes = _sorted_nodes(graph)
    names = {"": "", **{value.name: value.name for value in (*graph.input, *graph.output)}}
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
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    body = onnx.helper.make_graph(nodes, "edgeinfer", list(graph.input), list(graph.output), tensors)
    used = {node.domain for node in nodes}
    opsets = [o for o in model.opset_import if o.domain in used]
    return onnx.helper.make_model(body, opset_imports=opsets, ir_version=model.ir_version, producer_name="edgeinfer")


def _sorted_nodes(graph: onnx.GraphProto) -> list[Any]:
    producer = {name: index for index, node in enumerate(graph.node) for name in node.output}
    order: dict[int, None] = {}
    pending = [value.name for value in reversed(graph.output)]
    while pending:
        index = producer.get(pending[-1])
        if index is None or index in order:
            pending.pop()
            continue
        waiting = [n for n in graph.node[index].input if n in producer and producer[n] not in order]
        if waiting:
            pending.extend(reversed(waiting))
        else:
            order[index] = None
            pending.pop()
    return [graph.node[index] for index in order]


def _fold(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold constants with onnxruntime: tf2onnx leaves a factor behind each depthwise convolution."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    with tempfile.TemporaryDirectory(prefix="edgeinfer-export-") as folder:
        options.optimized_model_filepath = str(Path(folder) / "folded.onnx")
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(options.optimized_model_filepath)


def _check_form(model: onnx.ModelProto) -> None:
    inputs, outputs = ([value.name for value in values] for values in (model.graph.input, model.graph.output))
    if inputs != [INPUT_NAME] or outputs != [OUTPUT_NAME]:
        raise ExportError(
            f"the model maps {', '.join(inputs)} to {', '.join(outputs)}; "
            f"expected one input {INPUT_NAME} and one output {OUTPUT_NAME}"
        )


def first_line(error: Exception) -> str:
    """The first line of an exception's text, at most 200 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
