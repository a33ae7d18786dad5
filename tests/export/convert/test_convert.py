"""Conversion from Keras to ONNX: signature, content and reproducibility of the float32 graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import keras
import numpy as np
import onnx
import onnxruntime as ort
import pytest

from edgeinfer.errors import CapabilityError
from edgeinfer_export.convert.graph import CONVERTERS, OPSET, canonicalize, to_onnx
from edgeinfer_export.errors import ExportError
from edgeinfer_train.config import EdgeName
from edgeinfer_train.networks.model import MODEL_FILE, load_model

from ..conftest import Graphs, build_network

IMAGES = np.random.default_rng(3).integers(0, 256, (5, 48, 48, 1), dtype=np.uint8)


def run_graph(graph: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["logits"], {"image": images})[0])


@pytest.mark.parametrize("name", get_args(EdgeName))
def test_graph_maps_raw_pixels_to_logits(graphs: Graphs, name: str) -> None:
    graph = graphs[name][1]
    (image,), (logits,) = graph.graph.input, graph.graph.output
    assert (image.name, image.type.tensor_type.elem_type) == ("image", onnx.TensorProto.UINT8)
    assert (logits.name, logits.type.tensor_type.elem_type) == ("logits", onnx.TensorProto.FLOAT)
    assert [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim] == ["batch", 48, 48, 1]
    assert [d.dim_param or d.dim_value for d in logits.type.tensor_type.shape.dim] == ["batch", 7]
    assert [(o.domain, o.version) for o in graph.opset_import] == [("", OPSET)]


@pytest.mark.parametrize("name", get_args(EdgeName))
def test_graph_agrees_with_keras_on_raw_pixels(graphs: Graphs, name: str) -> None:
    model, graph = graphs[name]
    expected = np.asarray(model.predict_on_batch(IMAGES))
    assert np.ptp(expected) > 0.1, "constant outputs would prove nothing"
    np.testing.assert_allclose(run_graph(graph, IMAGES), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", get_args(EdgeName))
def test_normalization_is_folded_and_no_transpose_remains(graphs: Graphs, name: str) -> None:
    model, graph = graphs[name]
    kinds = Counter(node.op_type for node in graph.graph.node)
    convolutions = sum(isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D) for layer in model.layers)
    assert kinds["Conv"] == convolutions
    assert kinds["BatchNormalization"] == kinds["Transpose"] == 0
    operators = [node.op_type for node in graph.graph.node]
    assert kinds["Mul"] == 4, "only the pixel scaling and the per-face normalization multiply"
    assert "Mul" not in operators[operators.index("Conv") :]


def test_repeated_conversion_gives_identical_bytes(graphs: Graphs, run: Path) -> None:
    again = to_onnx(load_model(run / MODEL_FILE)[0]).graph
    assert again.SerializeToString(deterministic=True) == graphs["edgenet"][1].SerializeToString(deterministic=True)


def test_canonicalize_ignores_node_order_and_drops_unused_nodes_and_tensors(graphs: Graphs) -> None:
    graph = graphs["edgenet"][1]
    shuffled = onnx.ModelProto.FromString(graph.SerializeToString())
    nodes = list(shuffled.graph.node)[::-1]
    del shuffled.graph.node[:]
    shuffled.graph.node.extend([*nodes, onnx.helper.make_node("Identity", ["image"], ["unused"])])
    shuffled.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(3, np.float32), "unused_weight"))
    shuffled.opset_import.add(domain="com.example", version=1)
    assert canonicalize(shuffled).SerializeToString(deterministic=True) == graph.SerializeToString(deterministic=True)


def test_input_and_output_are_renamed() -> None:
    image = keras.Input((48, 48, 1), dtype="uint8", name="face")
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(image))
    graph = to_onnx(keras.Model(image, keras.layers.Dense(7, name="answer")(features))).graph
    assert ([v.name for v in graph.graph.input], [v.name for v in graph.graph.output]) == (["image"], ["logits"])


def failing_converter(*_: object, **__: object) -> None:
    raise KeyError("sequential\nand more")


def inaccurate_converter(graphs: Graphs) -> Callable[[keras.Model], onnx.ModelProto]:
    """Return a converter that doubles the weights of the last layer."""

    def convert(_: keras.Model) -> onnx.ModelProto:
        graph = onnx.ModelProto.FromString(graphs["edgenet"][1].SerializeToString())
        last = next(node for node in graph.graph.node if "logits" in node.output)
        weight = next(tensor for tensor in graph.graph.initializer if tensor.name == last.input[1])
        weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * 2, weight.name))
        return graph

    return convert


@pytest.mark.parametrize("number", [1, 2], ids=["traced function", "Keras' export"])
def test_conversion_falls_back_to_the_next_converter(
    graphs: Graphs, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    names = list(CONVERTERS)
    monkeypatch.setitem(CONVERTERS, names[0], failing_converter)
    if number == 2:
        monkeypatch.setitem(CONVERTERS, names[1], inaccurate_converter(graphs))
    model = graphs["edgenet"][0]
    conversion = to_onnx(model)
    assert conversion.converter == names[number]
    assert conversion.failed[0] == f"{names[0]}: KeyError, 'sequential\\nand more'"
    if number == 2:
        assert "its graph differs from Keras" in conversion.failed[1]
    expected = np.asarray(model.predict_on_batch(IMAGES))
    np.testing.assert_allclose(run_graph(conversion.graph, IMAGES), expected, rtol=0, atol=1e-4)
    assert not {"Transpose", "BatchNormalization"} & {node.op_type for node in conversion.graph.graph.node}


def test_conversion_fails_if_every_converter_fails(monkeypatch: pytest.MonkeyPatch, graphs: Graphs) -> None:
    for name in CONVERTERS:
        monkeypatch.setitem(CONVERTERS, name, failing_converter)
    with pytest.raises(ExportError, match="cannot be converted to ONNX; tf2onnx from the layers: KeyError"):
        to_onnx(graphs["edgenet"][0])


def test_conversion_requires_the_tensorflow_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    with pytest.raises(CapabilityError, match="KERAS_BACKEND=tensorflow"):
        to_onnx(build_network("edgenet"))
