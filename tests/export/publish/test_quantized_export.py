"""Quantized exports: calibration faces, choice of the variant, and accuracy limits."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgeinfer.expression.classifier import EmotionClassifier
from edgeinfer_export.errors import ExportError
from edgeinfer_export.options import ExportOptions, VariantName
from edgeinfer_export.publish.export import export_model
from edgeinfer_export.quantize.quantizer import Quantizer
from edgeinfer_export.selection import evaluation
from edgeinfer_export.selection.criteria import excess_loss
from edgeinfer_export.verify.measure import Candidate, measure_variant
from edgeinfer_train.datasets.load import load_split, pixel_digest
from edgeinfer_train.evaluation.metrics import Change

from ..conftest import LABELS, DataMaker, Graphs
from .conftest import INT8, read_metadata

pytestmark = pytest.mark.usefixtures("converted")


def test_validation_faces_are_never_used_for_calibration(
    run: Path, make_data: DataMaker, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_data(train=3, valid=2, seed=9)
    for face in (data / "valid" / "happy").iterdir():
        shutil.copy(face, data / "train" / "happy" / f"copy-{face.name}")
    held_out = {pixel_digest(image) for image in load_split(data, "valid").images}
    calibration_faces: list[Any] = []

    class RecordingQuantizer(Quantizer):
        def __init__(self, model: onnx.ModelProto, faces: np.ndarray, folder: Path, **options: Any) -> None:
            calibration_faces.extend(pixel_digest(face) for face in faces)
            super().__init__(model, faces, folder, **options)

    monkeypatch.setattr(evaluation, "Quantizer", RecordingQuantizer)
    report = export_model(run, out, data=data, options=INT8)
    training = {pixel_digest(image) for image in load_split(data, "train").images}
    assert report.calibration is not None
    assert 15 <= len(calibration_faces) == report.calibration["faces"] <= 20
    assert set(calibration_faces) <= training
    assert not set(calibration_faces) & held_out


def test_few_calibration_faces_cause_a_warning(run: Path, small_data: Path, out: Path) -> None:
    report = export_model(run, out, data=small_data, options=ExportOptions(quantize="int8"))
    assert "calibrated on only 28 training faces; 512 were requested" in report.warnings


def test_auto_publishes_the_fastest_variant_that_keeps_its_accuracy(run: Path, data: Path, out: Path) -> None:
    options = ExportOptions(quantize="auto", calibration_faces=20, max_drop=1.0)
    report = export_model(run, out, data=data, options=options)
    assert [v.name for v in report.variants] == ["fp32", "int8", "int8-signed", "int8-dynamic", "float16"]
    dynamic = next(v for v in report.variants if v.name == "int8-dynamic")
    assert "depend on the other faces in a batch" in dynamic.outcome
    accepted = [v for v in report.variants if v.outcome == "published" or v.outcome.startswith("slower")]
    assert report.chosen == min(accepted, key=lambda v: v.p50_ms)
    assert read_metadata(out).metrics["precision"] == report.published
    assert report.variants[0].ratio == 1.0


def test_sensitive_layers_stay_float32_if_int8_loses_too_much(
    run: Path, data: Path, out: Path, graphs: Graphs, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = graphs["edgenet"][1].graph.node
    first, second, *_ = (node.name for node in nodes if node.op_type == "Conv")

    def limit_int8(candidate: Candidate, max_drop: float) -> str | None:
        return "too much" if candidate.name == "int8" else excess_loss(candidate, 1.0)

    def measure_int8_as_wrong(name: VariantName, *arguments: Any, **options: Any) -> Candidate:
        candidate = measure_variant(name, *arguments, **options)
        assert candidate.scores is not None
        accuracy = 0.0 if name == "int8" else candidate.scores.accuracy
        return dataclasses.replace(candidate, scores=dataclasses.replace(candidate.scores, accuracy=accuracy))

    monkeypatch.setattr(evaluation, "excess_loss", limit_int8)
    monkeypatch.setattr(evaluation, "measure_variant", measure_int8_as_wrong)
    monkeypatch.setattr(Quantizer, "rank_sensitive_nodes", lambda self: (first, second))
    report = export_model(run, out, data=data, options=INT8)
    assert report.published == "int8-mixed"
    assert report.chosen.float_nodes == (first,)
    assert report.variants[1].outcome == "less accurate than int8-mixed"
    kept = [t for t in onnx.load(out).graph.initializer if len(t.dims) == 4 and t.data_type == onnx.TensorProto.FLOAT]
    assert len(kept) == 1
    assert EmotionClassifier.load(out).labels == LABELS


def test_int8_that_exceeds_max_drop_is_rejected(
    run: Path, data: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Change(-0.02, (-0.03, -0.01), 0.0, (0.0, 0.0))

    def measure_loss(*arguments: Any, fp32: Candidate | None = None, **options: Any) -> Candidate:
        candidate = measure_variant(*arguments, fp32=fp32, **options)
        return candidate if fp32 is None else dataclasses.replace(candidate, change=lost)

    monkeypatch.setattr(evaluation, "measure_variant", measure_loss)
    monkeypatch.setattr(Quantizer, "rank_sensitive_nodes", lambda self: ())
    allowed = export_model(run, out, data=data, options=INT8)
    assert any("int8 loses accuracy: -0.0200 [-0.0300, -0.0100]" in warning for warning in allowed.warnings)
    before = out.read_bytes()
    with pytest.raises(ExportError, match=r"rejected: int8 changes accuracy by -0\.02.* `max_drop` 0\.005") as caught:
        export_model(run, out, data=data, options=dataclasses.replace(INT8, max_drop=0.005))
    assert caught.value.exit_code == 5
    assert out.read_bytes() == before
