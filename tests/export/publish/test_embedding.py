"""Embeddings: a second output that the export adds on request, and that the runtime accepts under one name only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from edgeinfer import EmotionClassifier
from edgeinfer.errors import ModelError, UsageError
from edgeinfer.model.verify import verify
from edgeinfer_export.options import ExportOptions
from edgeinfer_export.publish.export import export_model

CROPS = list(np.random.default_rng(0).integers(0, 256, (3, 40, 40), dtype=np.uint8))


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("embedding") / "model.onnx"
    export_model(run, out, options=ExportOptions(embedding=True))
    return out


def test_logits_are_the_last_layer_applied_to_the_embeddings(exported: Path) -> None:
    classifier = EmotionClassifier.load(exported)
    embeddings = classifier.embed(CROPS)
    assert embeddings.dtype == np.float32
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(exported).graph.initializer}
    head = next(n for n in reversed(onnx.load(exported).graph.node) if n.op_type in ("Gemm", "MatMul"))
    weights = tensors[head.input[1]]
    weights = weights.T if any(a.name == "transB" and a.i for a in head.attribute) else weights
    bias = next((t for t in tensors.values() if t.shape == (7,)), np.zeros(7))  # an untrained head has none
    logits = embeddings @ weights + bias
    expected = [list(e.probabilities.values()) for e in classifier.classify(CROPS)]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, expected, atol=1e-4)
    assert [check.name for check in verify(exported)]


def test_models_have_no_embeddings_by_default() -> None:
    with pytest.raises(ModelError, match="has no embeddings: export it with"):
        EmotionClassifier.load().embed(CROPS)


def test_embed_needs_a_face(exported: Path) -> None:
    with pytest.raises(UsageError, match="`crops` is empty"):
        EmotionClassifier.load(exported).embed([])


@pytest.mark.parametrize("case", ["other name", "third output", "other type"])
def test_other_outputs_are_refused(exported: Path, tmp_path: Path, case: str) -> None:
    model = onnx.load(exported)
    second = model.graph.output[1]
    if case == "other name":
        model.graph.node[-1].output[0] = second.name = "features"
    elif case == "third output":
        model.graph.node.append(helper.make_node("Identity", [second.name], ["more"]))
        model.graph.output.append(helper.make_tensor_value_info("more", 1, ["batch", 4]))
    else:
        node = model.graph.node[-1]
        node.CopyFrom(helper.make_node("Cast", list(node.input), list(node.output), to=onnx.TensorProto.DOUBLE))
        second.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    with pytest.raises(ModelError):
        EmotionClassifier.load(path)
