"""int8: what stays float32, what becomes integer, and that the answers stay close."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import pytest

from edgeinfer_export.errors import ExportError
from edgeinfer_export.quantize import FaceReader, float_nodes, quantize_int8
from edgeinfer_train.config import EdgeName

from .conftest import Graphs

PICTURES = np.random.default_rng(5).integers(0, 256, (70, 48, 48, 1), dtype=np.uint8)


@pytest.fixture(scope="module")
def quantized(graphs: Graphs, tmp_path_factory: pytest.TempPathFactory) -> dict[str, onnx.ModelProto]:
    return {name: quantize_int8(graph, PICTURES, tmp_path_factory.mktemp(name)) for name, (_, graph) in graphs.items()}


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


def test_pixel_scaling_and_the_last_layer_stay_float32(graphs: Graphs, quantized: dict[str, onnx.ModelProto]) -> None:
    graph, made = graphs["edgenet"][1], quantized["edgenet"]
    kept = {node.op_type for node in graph.graph.node if node.name in float_nodes(graph)}
    last = next(node for node in made.graph.node if "logits" in node.output)
    assert kept == {"Cast", "Mul", "Add", "Reshape", last.op_type}
    weights = [onnx.numpy_helper.to_array(t).dtype for t in made.graph.initializer if t.name in last.input]
    assert weights, "the weights are stored, not dequantized"
    assert set(weights) == {np.dtype(np.float32)}


def test_quantizing_leaves_the_given_model_alone_and_repeats_itself(
    graphs: Graphs, quantized: dict[str, onnx.ModelProto], tmp_path: Path
) -> None:
    graph = graphs["edgenet"][1]
    before = graph.SerializeToString(deterministic=True)
    again = quantize_int8(graph, PICTURES, tmp_path)
    assert graph.SerializeToString(deterministic=True) == before
    assert again.SerializeToString(deterministic=True) == quantized["edgenet"].SerializeToString(deterministic=True)


def test_the_reader_feeds_every_face_once() -> None:
    reader, fed = FaceReader(PICTURES), []
    while (batch := reader.get_next()) is not None:
        assert list(batch) == ["image"]
        fed.append(batch["image"])
    np.testing.assert_array_equal(np.concatenate(fed), PICTURES)


def test_a_failure_of_onnxruntime_is_an_export_error(
    graphs: Graphs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no such type\nand more")

    monkeypatch.setattr("edgeinfer_export.quantize.quantize_static", fail)
    with pytest.raises(ExportError, match=r"cannot be quantized: RuntimeError, no such type$"):
        quantize_int8(graphs["edgenet"][1], PICTURES, tmp_path)
