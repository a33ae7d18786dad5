"""Third-party networks in three public layouts, from their file to a model of the runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import helper

from edgeinfer import EmotionClassifier
from edgeinfer.errors import EdgeInferError
from edgeinfer.expression.probabilities import softmax
from edgeinfer_export.convert.source import read_source
from edgeinfer_export.options import ExportOptions
from edgeinfer_export.publish.export import export_model
from edgeinfer_export.verify.verdict import load_faces

from ..conftest import LABELS, DataMaker
from .public_networks import FERPLUS_NAMES, mobilenet_v2, run_original, write_ferplus, write_resnet18

MEAN, SPREAD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def faces(make_data: DataMaker) -> Path:
    return make_data(train=2, valid=2)


@pytest.fixture(scope="module")
def eight_faces(make_data: DataMaker) -> Path:
    return make_data(labels=FERPLUS_NAMES, train=4, valid=3)


def probabilities(path: Path, crops: Any) -> Any:
    return np.array([list(e.probabilities.values()) for e in EmotionClassifier.load(path).classify(list(crops))])


def colourful(count: int, side: int) -> Any:
    return np.random.default_rng(3).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def imagenet_rgb(crops: Any) -> Any:
    return ((crops[..., ::-1] / 255 - MEAN) / SPREAD).transpose(0, 3, 1, 2).astype(np.float32)


def imagenet_bgr(crops: Any) -> Any:
    return ((crops / 255 - MEAN[::-1]) / SPREAD[::-1]).transpose(0, 3, 1, 2).astype(np.float32)


def imagenet_grey(crops: Any) -> Any:
    grey = np.stack([cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY) for crop in crops])[..., None]
    return ((grey / 255 - MEAN) / SPREAD).transpose(0, 3, 1, 2).astype(np.float32)


@pytest.mark.parametrize(
    ("colour", "batch", "opset", "pixels"),
    [("rgb", "batch", 17, imagenet_rgb), ("bgr", 1, 18, imagenet_bgr), ("grey", 1, 17, imagenet_grey)],
)
def test_resnet18_of_torchvision(
    faces: Path, out: Path, tmp_path: Path, colour: Any, batch: str | int, opset: int, pixels: Callable[[Any], Any]
) -> None:
    """Compare the runtime's answers with the file as its authors run it, by another implementation of ONNX."""
    path = tmp_path / "resnet18.onnx"
    write_resnet18(path, 7, batch=batch, opset=opset)
    options = ExportOptions(labels=LABELS, input_range="imagenet", colour=colour)
    report = export_model(path, out, data=faces, options=options)
    assert report.verdict.verified == "on 14 validation faces"
    assert report.opset == onnx.load(out).opset_import[0].version == opset
    crops = colourful(3, 32)
    np.testing.assert_allclose(probabilities(out, crops), softmax(run_original(path, pixels(crops))), atol=1e-3)


@pytest.mark.parametrize("ends_with_softmax", [False, True])
def test_ferplus_network_of_the_onnx_zoo(eight_faces: Path, out: Path, tmp_path: Path, ends_with_softmax: bool) -> None:
    path = tmp_path / "emotion-ferplus-8.onnx"
    write_ferplus(path, softmax=ends_with_softmax)
    options = ExportOptions(labels=FERPLUS_NAMES, input_range="0..255", quantize="int8")
    report = export_model(path, out, data=eight_faces, options=options)
    assert report.published == "int8"
    assert "Softmax" not in report.operators
    assert report.variants[0].name == "fp32"
    crops = colourful(4, 64)[..., 0]
    original = run_original(path, crops[:, None].astype(np.float32))
    expected = original if ends_with_softmax else softmax(original)
    np.testing.assert_allclose(probabilities(out, crops), expected, atol=0.05)


@pytest.mark.slow
def test_mobilenet_v2_of_keras(faces: Path, out: Path, tmp_path: Path) -> None:
    path, model = tmp_path / "mobilenet.keras", mobilenet_v2(7)
    model.save(path)
    export_model(path, out, data=faces, options=ExportOptions(labels=LABELS, input_range="-1..1"))
    crops = colourful(3, 32)
    expected = np.asarray(model.predict_on_batch(crops[..., ::-1] / np.float32(127.5) - 1))
    np.testing.assert_allclose(probabilities(out, crops), expected, atol=1e-4)


def change(path: Path, edit: Callable[[onnx.ModelProto], None]) -> None:
    model = onnx.load(path)
    edit(model)
    onnx.save(model, path)


def end_with_probabilities(model: onnx.ModelProto) -> None:
    graph = model.graph
    graph.node[-1].output[0] = "logits"
    graph.node.extend([
        helper.make_node("Exp", ["logits"], ["exp"]),
        helper.make_node("ReduceSum", ["exp"], ["sum"], keepdims=1, axes=[1]),
        helper.make_node("Div", ["exp", "sum"], ["Plus692_Output_0"]),
    ])  # fmt: skip


def use_custom_domain(model: onnx.ModelProto) -> None:
    model.graph.node[-1].domain = "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def free_height(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"


REFUSED: dict[str, tuple[Callable[[onnx.ModelProto], None], dict[str, Any], str]] = {
    "no range": (lambda _: None, {}, "takes floats, and the range .*: pass `input_range`"),
    "colour of one channel": (lambda _: None, {"input_range": "0..1", "colour": "rgb"}, "takes one channel, but"),
    "imagenet in grey": (lambda _: None, {"input_range": "imagenet"}, "statistics of three channels"),
    "other labels": (lambda _: None, {"input_range": "0..1", "labels": FERPLUS_NAMES[:5]}, "for each of 5 `labels`"),
    "probabilities": (end_with_probabilities, {"input_range": "0..1"}, "returns probabilities that no softmax"),
    "custom operator": (use_custom_domain, {"input_range": "0..1"}, "operators of com.microsoft"),
    "free size": (free_height, {"input_range": "0..1"}, "fixed height and width"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_files(eight_faces: Path, tmp_path: Path, case: str) -> None:
    edit, options, message = REFUSED[case]
    path = tmp_path / "network.onnx"
    write_ferplus(path)
    change(path, edit)
    with pytest.raises(EdgeInferError, match=message):
        read_source(path, **{"labels": FERPLUS_NAMES, "data": eight_faces, **options}).convert()


def test_three_channels_need_a_colour(faces: Path, tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    write_resnet18(path, 7, width=1)
    with pytest.raises(EdgeInferError, match="pass `colour`"):
        read_source(path, labels=LABELS, data=faces, input_range="0..1")


def test_damaged_and_missing_files(faces: Path, tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    with pytest.raises(EdgeInferError, match="no model at"):
        read_source(path, labels=LABELS, data=faces)
    path.write_bytes(b"\x08\x07garbage")
    with pytest.raises(EdgeInferError, match=r"network\.onnx is not an ONNX model"):
        read_source(path, labels=LABELS, data=faces)


def test_the_reference_gets_faces_in_the_channel_order_of_the_network(faces: Path, tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    write_resnet18(path, 7, width=1)
    source = read_source(path, labels=LABELS, data=faces, input_range="0..1", colour="bgr")
    images = load_faces(faces, LABELS, size_hw=(32, 32), colour=source.colour).images
    expected = run_original(path, (images / 255).transpose(0, 3, 1, 2).astype(np.float32))
    np.testing.assert_allclose(source.model.predict_on_batch(images), expected, rtol=1e-3, atol=1e-3)
