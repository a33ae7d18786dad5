"""Quantized variants: number formats, calibration, sensitivity, and closeness to float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from edgeinfer_export.errors import ExportError
from edgeinfer_export.options import Calibration, VariantName
from edgeinfer_export.quantize.quantizer import STATIC_VARIANTS, Quantizer, SingleBatchReader, float_nodes
from edgeinfer_train.config import EdgeName

from ..conftest import Graphs

IMAGES = np.random.default_rng(5).integers(0, 256, (70, 48, 48, 1), dtype=np.uint8)


@pytest.fixture(scope="module")
def quantized(graphs: Graphs, tmp_path_factory: pytest.TempPathFactory) -> dict[str, onnx.ModelProto]:
    """Int8 variant of each edge network. Tests must not modify it."""
    return {
        name: Quantizer(graph, IMAGES, tmp_path_factory.mktemp(name)).build("int8")
        for name, (_, graph) in graphs.items()
    }


@pytest.mark.parametrize("name", get_args(EdgeName))
def test_convolutions_become_int8_with_one_scale_per_channel(
    graphs: Graphs, quantized: dict[str, onnx.ModelProto], name: str
) -> None:
    quantized_model = quantized[name]
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in quantized_model.graph.initializer}
    producer = {output: node for node in quantized_model.graph.node for output in node.output}
    convolutions = [node for node in quantized_model.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == sum(node.op_type == "Conv" for node in graphs[name][1].graph.node)
    for node in convolutions:
        weight, scale, _ = producer[node.input[1]].input
        assert stored[weight].dtype == np.int8
        assert stored[scale].shape == stored[weight].shape[:1]
        assert stored[producer[node.input[0]].input[2]].dtype == np.uint8
    assert {o.domain for o in quantized_model.opset_import} == {""}


def test_pixel_scaling_normalization_and_last_layer_stay_float32(
    graphs: Graphs, quantized: dict[str, onnx.ModelProto]
) -> None:
    graph, quantized_model = graphs["edgenet"][1], quantized["edgenet"]
    kept = {node.op_type for node in graph.graph.node if node.name in float_nodes(graph)}
    last = next(node for node in quantized_model.graph.node if "logits" in node.output)
    normalization = {"ReduceMean", "Sub", "Mul", "Add", "Sqrt", "Reciprocal", "Neg"}
    assert kept == {"Cast", "Reshape", last.op_type} | normalization
    weights = [onnx.numpy_helper.to_array(t).dtype for t in quantized_model.graph.initializer if t.name in last.input]
    assert weights, "the weights of the last layer are stored as float32"
    assert set(weights) == {np.dtype(np.float32)}


def test_quantization_is_reproducible_and_does_not_modify_its_input(
    graphs: Graphs, quantized: dict[str, onnx.ModelProto], tmp_path: Path
) -> None:
    graph = graphs["edgenet"][1]
    before = graph.SerializeToString(deterministic=True)
    again = Quantizer(graph, IMAGES, tmp_path).build("int8")
    assert graph.SerializeToString(deterministic=True) == before
    assert again.SerializeToString(deterministic=True) == quantized["edgenet"].SerializeToString(deterministic=True)


def test_reader_returns_one_batch_with_every_face() -> None:
    reader = SingleBatchReader(IMAGES)
    batch = reader.get_next()
    assert batch is not None
    assert list(batch) == ["image"]
    np.testing.assert_array_equal(batch["image"], IMAGES)
    assert reader.get_next() is None


def test_failure_of_onnxruntime_raises_export_error(
    graphs: Graphs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no such type\nand more")

    monkeypatch.setattr("edgeinfer_export.quantize.quantizer.quantize_static", fail)
    with pytest.raises(ExportError, match=r"cannot be quantized as int8: RuntimeError, no such type$"):
        Quantizer(graphs["edgenet"][1], IMAGES, tmp_path).build("int8")


def stored_types(graph: onnx.ModelProto) -> set[str]:
    return {onnx.TensorProto.DataType.Name(t.data_type) for t in graph.graph.initializer if len(t.dims) > 1}


def run_graph(graph: onnx.ModelProto) -> np.ndarray:
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["logits"], {"image": IMAGES})[0])


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("int8-signed", {"INT8", "FLOAT"}),
        ("int8-reduced", {"INT8", "FLOAT"}),
        ("int8-dynamic", {"UINT8", "FLOAT"}),
        ("float16", {"FLOAT16"}),
    ],
)
def test_every_variant_keeps_its_signature_and_stays_close_to_float32(
    graphs: Graphs, tmp_path: Path, name: VariantName, types: set[str]
) -> None:
    graph = graphs["edgenet"][1]
    quantized_model = Quantizer(graph, IMAGES, tmp_path).build(name)
    assert stored_types(quantized_model) - {"INT64"} == types
    (image,), (logits,) = quantized_model.graph.input, quantized_model.graph.output
    assert (image.name, image.type.tensor_type.elem_type) == ("image", onnx.TensorProto.UINT8)
    assert (logits.name, logits.type.tensor_type.elem_type) == ("logits", onnx.TensorProto.FLOAT)
    assert {o.domain for o in quantized_model.opset_import} == {""}
    expected = run_graph(graph)
    assert np.abs(run_graph(quantized_model) - expected).max() < 0.1 * np.ptp(expected)


def test_reduced_weights_have_seven_bits(graphs: Graphs, tmp_path: Path) -> None:
    quantized_model = Quantizer(graphs["edgenet"][1], IMAGES, tmp_path).build("int8-reduced")
    weights = [
        onnx.numpy_helper.to_array(t) for t in quantized_model.graph.initializer if t.data_type == onnx.TensorProto.INT8
    ]
    assert max(int(np.abs(w.astype(int)).max()) for w in weights if w.ndim == 4) <= 64


@pytest.mark.parametrize("calibration", get_args(Calibration))
def test_calibration_runs_once_for_all_static_variants(
    graphs: Graphs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calibration: Calibration
) -> None:
    faces_read = 0

    def count(reader: SingleBatchReader, original: Any = SingleBatchReader.get_next) -> Any:
        nonlocal faces_read
        batch = original(reader)
        faces_read += 0 if batch is None else len(batch["image"])
        return batch

    monkeypatch.setattr(SingleBatchReader, "get_next", count)
    monkeypatch.setattr("edgeinfer_train.evaluation.evaluate.BATCH_PIXELS", 32 * 48 * 48)
    quantizer = Quantizer(graphs["edgenet"][1], IMAGES, tmp_path, calibration=calibration)
    for name in STATIC_VARIANTS:
        quantizer.build(name)
    assert faces_read == len(IMAGES)


def test_most_sensitive_node_is_ranked_first(graphs: Graphs, tmp_path: Path) -> None:
    graph = onnx.ModelProto.FromString(graphs["edgenet"][1].SerializeToString())
    sensitive = [node for node in graph.graph.node if node.op_type == "Conv"][3]
    weight = next(tensor for tensor in graph.graph.initializer if tensor.name == sensitive.input[1])
    values = onnx.numpy_helper.to_array(weight).copy()
    values[:, 0, 0, 0] = 60.0  # one large weight per channel leaves few quantization steps for all others
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    quantizer = Quantizer(graph, IMAGES, tmp_path)
    ranking = quantizer.rank_sensitive_nodes()
    convolutions = {node.name for node in graph.graph.node if node.op_type == "Conv"} - set(float_nodes(graph))
    assert set(ranking) == convolutions
    errors = {
        name: float(np.square(run_graph(quantizer.build("int8-mixed", keep_float=(name,))) - run_graph(graph)).mean())
        for name in (ranking[0], ranking[-1])
    }
    assert errors[ranking[0]] < errors[ranking[-1]]
    mixed = quantizer.build("int8-mixed", keep_float=ranking[:2])
    assert stored_types(mixed) >= {"INT8", "FLOAT"}
    float_weights = [t for t in mixed.graph.initializer if len(t.dims) == 4 and t.data_type == onnx.TensorProto.FLOAT]
    assert len(float_weights) == 2
