"""From Keras to ONNX: form, content and repeatability of the float32 graph."""

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
from edgeinfer_export.convert.graph import CONVERTERS, OPSET, tidy, to_onnx
from edgeinfer_export.errors import ExportError
from edgeinfer_train.config import EdgeName
from edgeinfer_train.networks.model import MODEL_FILE, load_model

from ..conftest import Graphs, used_core

PICTURES = np.random.default_rng(3).integers(0, 256, (5, 48, 48, 1), dtype=np.uint8)


def answers(graph: onnx.ModelProto, pictures: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["logits"], {"image": pictures})[0])


@pytest.mark.parametrize("name", get_args(EdgeName))
def test_the_graph_takes_raw_pixels_and_gives_logits(graphs: Graphs, name: str) -> None:
    graph = graphs[name][1]
    (given,), (made,) = graph.graph.input, graph.graph.output
    assert (given.name, given.type.tensor_type.elem_type) == ("image", onnx.TensorProto.UINT8)
    assert (made.name, made.type.tensor_type.elem_type) == ("logits", onnx.TensorProto.FLOAT)
    assert [d.dim_param or d.dim_value for d in given.type.tensor_type.shape.dim] == ["batch", 48, 48, 1]
    assert [d.dim_param or d.dim_value for d in made.type.tensor_type.shape.dim] == ["batch", 7]
    assert [(o.domain, o.version) for o in graph.opset_import] == [("", OPSET)]


@pytest.mark.parametrize("name", get_args(EdgeName))
def test_the_graph_answers_as_keras_does_on_the_same_raw_pixels(graphs: Graphs, name: str) -> None:
    model, graph = graphs[name]
    expected = np.asarray(model.predict_on_batch(PICTURES))
    assert np.ptp(expected) > 0.1, "a network that always says the same would prove nothing"
    np.testing.assert_allclose(answers(graph, PICTURES), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", get_args(EdgeName))
def test_normalization_is_folded_and_nothing_is_transposed(graphs: Graphs, name: str) -> None:
    model, graph = graphs[name]
    kinds = Counter(node.op_type for node in graph.graph.node)
    convolutions = sum(isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D) for layer in model.layers)
    assert kinds["Conv"] == convolutions
    assert kinds["BatchNormalization"] == kinds["Transpose"] == 0
    operators = [node.op_type for node in graph.graph.node]
    assert kinds["Mul"] == 4, "only the scaling of pixels and the light of a face multiply"
    assert "Mul" not in operators[operators.index("Conv") :]


def test_converting_twice_gives_the_same_bytes(graphs: Graphs, run: Path) -> None:
    again = to_onnx(load_model(run / MODEL_FILE)[0]).graph
    assert again.SerializeToString(deterministic=True) == graphs["edgenet"][1].SerializeToString(deterministic=True)


def test_tidy_ignores_the_order_of_nodes_and_drops_what_no_output_needs(
    graphs: Graphs,
) -> None:
    graph = graphs["edgenet"][1]
    shuffled = onnx.ModelProto.FromString(graph.SerializeToString())
    nodes = list(shuffled.graph.node)[::-1]
    del shuffled.graph.node[:]
    shuffled.graph.node.extend([*nodes, onnx.helper.make_node("Identity", ["image"], ["unused"])])
    shuffled.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(3, np.float32), "unused_weight"))
    shuffled.opset_import.add(domain="com.example", version=1)
    assert tidy(shuffled).SerializeToString(deterministic=True) == graph.SerializeToString(deterministic=True)


def test_input_and_output_get_our_names() -> None:
    image = keras.Input((48, 48, 1), dtype="uint8", name="face")
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(image))
    graph = to_onnx(keras.Model(image, keras.layers.Dense(7, name="answer")(features))).graph
    assert ([v.name for v in graph.graph.input], [v.name for v in graph.graph.output]) == (["image"], ["logits"])


def broken(*_: object, **__: object) -> None:
    raise KeyError("sequential\nand more")


def wrong(graphs: Graphs) -> Callable[[keras.Model], onnx.ModelProto]:
    """A converter that forgets a bias."""

    def convert(_: keras.Model) -> onnx.ModelProto:
        graph = onnx.ModelProto.FromString(graphs["edgenet"][1].SerializeToString())
        last = next(node for node in graph.graph.node if "logits" in node.output)
        weight = next(tensor for tensor in graph.graph.initializer if tensor.name == last.input[1])
        weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * 2, weight.name))
        return graph

    return convert


@pytest.mark.parametrize("number", [1, 2], ids=["traced function", "Keras' export"])
def test_the_next_converter_takes_over(graphs: Graphs, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    names = list(CONVERTERS)
    monkeypatch.setitem(CONVERTERS, names[0], broken)
    if number == 2:
        monkeypatch.setitem(CONVERTERS, names[1], wrong(graphs))
    model = graphs["edgenet"][0]
    found = to_onnx(model)
    assert found.converter == names[number]
    assert found.failed[0] == f"{names[0]}: KeyError, 'sequential\\nand more'"
    if number == 2:
        assert "its graph differs from Keras" in found.failed[1]
    expected = np.asarray(model.predict_on_batch(PICTURES))
    np.testing.assert_allclose(answers(found.graph, PICTURES), expected, rtol=0, atol=1e-4)
    assert not {"Transpose", "BatchNormalization"} & {node.op_type for node in found.graph.graph.node}


def test_a_model_that_no_converter_takes_is_refused(monkeypatch: pytest.MonkeyPatch, graphs: Graphs) -> None:
    for name in CONVERTERS:
        monkeypatch.setitem(CONVERTERS, name, broken)
    with pytest.raises(ExportError, match="cannot be converted to ONNX; tf2onnx from the layers: KeyError"):
        to_onnx(graphs["edgenet"][0])


def test_another_keras_backend_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    with pytest.raises(CapabilityError, match="KERAS_BACKEND=tensorflow"):
        to_onnx(used_core("edgenet"))
