"""int8: what stays float32, what becomes integer, and that the answers stay close."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from edgeinfer_export.errors import ExportError
from edgeinfer_export.options import Calibration, VariantName
from edgeinfer_export.quantize.quantizer import STATIC, FaceReader, Quantizer, float_nodes
from edgeinfer_train.config import EdgeName

from ..conftest import Graphs

PICTURES = np.random.default_rng(5).integers(0, 256, (70, 48, 48, 1), dtype=np.uint8)


@pytest.fixture(scope="module")
def quantized(graphs: Graphs, tmp_path_factory: pytest.TempPathFactory) -> dict[str, onnx.ModelProto]:
    return {
        name: Quantizer(graph, PICTURES, tmp_path_factory.mktemp(name)).make("int8")
        for name, (_, graph) in graphs.items()
    }


@pytest.mark.parametrize("name", get_args(EdgeName))
def test_convolutions_become_int8_with_one_scale_a_channel(
    graphs: Graphs, quantized: dict[str, onnx.ModelProto], name: str
) -> None:
    made = quantized[name]
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    producer = {output: node for node in made.graph.node for output in node.output}
    convolutions = [node for node in made.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == sum(node.op_type == "Conv" for node in graphs[name][1].graph.node)
    for node in convolutions:
        weight, scale, _ = producer[node.input[1]].input
        assert stored[weight].dtype == np.int8
        assert stored[scale].shape == stored[weight].shape[:1]
        assert stored[producer[node.input[0]].input[2]].dtype == np.uint8
    assert {o.domain for o in made.opset_import} == {""}


def test_pixel_scaling_light_and_the_last_layer_stay_float32(
    graphs: Graphs, quantized: dict[str, onnx.ModelProto]
) -> None:
    graph, made = graphs["edgenet"][1], quantized["edgenet"]
    kept = {node.op_type for node in graph.graph.node if node.name in float_nodes(graph)}
    last = next(node for node in made.graph.node if "logits" in node.output)
    light = {"ReduceMean", "Sub", "Mul", "Add", "Sqrt", "Reciprocal", "Neg"}
    assert kept == {"Cast", "Reshape", last.op_type} | light
    weights = [onnx.numpy_helper.to_array(t).dtype for t in made.graph.initializer if t.name in last.input]
    assert weights, "the weights are stored, not dequantized"
    assert set(weights) == {np.dtype(np.float32)}


def test_quantizing_leaves_the_given_model_alone_and_repeats_itself(
    graphs: Graphs, quantized: dict[str, onnx.ModelProto], tmp_path: Path
) -> None:
    graph = graphs["edgenet"][1]
    before = graph.SerializeToString(deterministic=True)
    again = Quantizer(graph, PICTURES, tmp_path).make("int8")
    assert graph.SerializeToString(deterministic=True) == before
    assert again.SerializeToString(deterministic=True) == quantized["edgenet"].SerializeToString(deterministic=True)


def test_the_reader_feeds_every_face_once() -> None:
    reader = FaceReader(PICTURES)
    batch = reader.get_next()
    assert batch is not None
    assert list(batch) == ["image"]
    np.testing.assert_array_equal(batch["image"], PICTURES)
    assert reader.get_next() is None


def test_a_failure_of_onnxruntime_is_an_export_error(
    graphs: Graphs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no such type\nand more")

    monkeypatch.setattr("edgeinfer_export.quantize.quantizer.quantize_static", fail)
    with pytest.raises(ExportError, match=r"cannot be quantized as int8: RuntimeError, no such type$"):
        Quantizer(graphs["edgenet"][1], PICTURES, tmp_path).make("int8")


def stored_types(graph: onnx.ModelProto) -> set[str]:
    return {onnx.TensorProto.DataType.Name(t.data_type) for t in graph.graph.initializer if len(t.dims) > 1}


def answers(graph: onnx.ModelProto) -> np.ndarray:
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["logits"], {"image": PICTURES})[0])


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("int8-signed", {"INT8", "FLOAT"}),
        ("int8-reduced", {"INT8", "FLOAT"}),
        ("int8-dynamic", {"UINT8", "FLOAT"}),
        ("float16", {"FLOAT16"}),
    ],
)
def test_every_form_keeps_input_output_and_answers(
    graphs: Graphs, tmp_path: Path, name: VariantName, types: set[str]
) -> None:
    graph = graphs["edgenet"][1]
    made = Quantizer(graph, PICTURES, tmp_path).make(name)
    assert stored_types(made) - {"INT64"} == types
    (given,), (gives,) = made.graph.input, made.graph.output
    assert (given.name, given.type.tensor_type.elem_type) == ("image", onnx.TensorProto.UINT8)
    assert (gives.name, gives.type.tensor_type.elem_type) == ("logits", onnx.TensorProto.FLOAT)
    assert {o.domain for o in made.opset_import} == {""}
    expected = answers(graph)
    assert np.abs(answers(made) - expected).max() < 0.1 * np.ptp(expected)


def test_reduced_weights_have_seven_bits(graphs: Graphs, tmp_path: Path) -> None:
    made = Quantizer(graphs["edgenet"][1], PICTURES, tmp_path).make("int8-reduced")
    weights = [onnx.numpy_helper.to_array(t) for t in made.graph.initializer if t.data_type == onnx.TensorProto.INT8]
    assert max(int(np.abs(w.astype(int)).max()) for w in weights if w.ndim == 4) <= 64


@pytest.mark.parametrize("calibration", get_args(Calibration))
def test_the_calibration_faces_run_once_for_all_static_forms(
    graphs: Graphs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calibration: Calibration
) -> None:
    fed = 0

    def count(reader: FaceReader, before: Any = FaceReader.get_next) -> Any:
        nonlocal fed
        batch = before(reader)
        fed += 0 if batch is None else len(batch["image"])
        return batch

    monkeypatch.setattr(FaceReader, "get_next", count)
    monkeypatch.setattr("edgeinfer_train.evaluation.evaluate.BATCH_PIXELS", 32 * 48 * 48)
    quantizer = Quantizer(graphs["edgenet"][1], PICTURES, tmp_path, calibration=calibration)
    for name in STATIC:
        quantizer.make(name)
    assert fed == len(PICTURES)


def test_the_most_harmful_node_comes_first(graphs: Graphs, tmp_path: Path) -> None:
    graph = onnx.ModelProto.FromString(graphs["edgenet"][1].SerializeToString())
    spoiled = [node for node in graph.graph.node if node.op_type == "Conv"][3]
    weight = next(tensor for tensor in graph.graph.initializer if tensor.name == spoiled.input[1])
    values = onnx.numpy_helper.to_array(weight).copy()
    values[:, 0, 0, 0] = 60.0  # one giant weight a channel leaves a few steps for all others
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    quantizer = Quantizer(graph, PICTURES, tmp_path)
    order = quantizer.sensitive_nodes()
    convolutions = {node.name for node in graph.graph.node if node.op_type == "Conv"} - set(float_nodes(graph))
    assert set(order) == convolutions
    errors = {
        name: float(np.square(answers(quantizer.make("int8-mixed", keep_float=(name,))) - answers(graph)).mean())
        for name in (order[0], order[-1])
    }
    assert errors[order[0]] < errors[order[-1]]
    mixed = quantizer.make("int8-mixed", keep_float=order[:2])
    assert stored_types(mixed) >= {"INT8", "FLOAT"}
    big = [t for t in mixed.graph.initializer if len(t.dims) == 4 and t.data_type == onnx.TensorProto.FLOAT]
    assert len(big) == 2
