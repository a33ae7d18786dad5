"""From Keras to ONNX: form, content and repeatability of the float32 graph."""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path
from typing import get_args

import keras
import numpy as np
import onnx
import onnxruntime as ort
import pytest

from edgeinfer.errors import CapabilityError, ModelError, ModelNotFoundError
from edgeinfer_export.convert import OPSET, read_source, tidy, to_onnx
from edgeinfer_export.errors import ExportError
from edgeinfer_train.config import EdgeName
from edgeinfer_train.model import MODEL_FILE, save_model

from .conftest import LABELS, Graphs, info, used_core

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
    assert kinds["Mul"] == 1, "only the scaling of pixels multiplies"


def test_converting_twice_gives_the_same_bytes(graphs: Graphs, run: Path) -> None:
    again = to_onnx(read_source(run)[0])
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


def test_a_model_whose_output_has_another_name_is_refused() -> None:
    image = keras.Input((48, 48, 1), dtype="uint8", name="image")
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(image))
    with pytest.raises(ExportError, match="expected one input image and one output logits"):
        to_onnx(keras.Model(image, keras.layers.Dense(7, name="answer")(features)))


def test_a_model_that_cannot_be_converted_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("sequential")

    monkeypatch.setattr("tf2onnx.convert.from_keras", fail)
    with pytest.raises(ExportError, match="cannot be converted to ONNX: KeyError, 'sequential'"):
        to_onnx(used_core("edgenet"))


def test_another_keras_backend_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    with pytest.raises(CapabilityError, match="KERAS_BACKEND=tensorflow"):
        to_onnx(used_core("edgenet"))


def test_a_run_folder_and_its_file_are_the_same_source(run: Path) -> None:
    assert read_source(run)[1] == read_source(run / MODEL_FILE)[1] == info("edgenet")


@pytest.mark.parametrize(
    ("content", "error"),
    [(None, ModelNotFoundError), (b"", ModelError), (b"\x00" * 5000, ModelError), ("truncated", ModelError)],
    ids=["missing", "empty", "random", "truncated"],
)
def test_a_bad_source_has_exit_code_5(
    tmp_path: Path, run: Path, content: bytes | str | None, error: type[ModelError]
) -> None:
    path = tmp_path / "bad.keras"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else (run / MODEL_FILE).read_bytes()[:-2000])
    with pytest.raises(error) as caught:
        read_source(path)
    assert caught.value.exit_code == 5


def test_a_source_with_damaged_weights_is_refused(tmp_path: Path, run: Path) -> None:
    path = tmp_path / "damaged.keras"
    with zipfile.ZipFile(run / MODEL_FILE) as old:
        offset = old.getinfo("model.weights.h5").header_offset
    content = bytearray((run / MODEL_FILE).read_bytes())
    content[offset + 200 : offset + 1200] = b"\xff" * 1000
    path.write_bytes(content)
    with pytest.raises((ExportError, ModelError)) as caught:
        read_source(path)
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "vgg99"}, "has the backbone vgg99"),
        ({"labels": LABELS[:5]}, "one logit for each of 5 labels"),
    ],
    ids=["unknown backbone", "too few labels"],
)
def test_a_source_that_contradicts_itself_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    path = tmp_path / "odd.keras"
    save_model(used_core("edgenet"), info(**changes), path)  # type: ignore[arg-type]
    with pytest.raises(ExportError, match=message):
        read_source(path)
