"""Exports that succeed: metadata, report, model card and outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import keras
import numpy as np
import pytest

from edgeinfer.expression.classifier import EmotionClassifier
from edgeinfer.expression.probabilities import softmax
from edgeinfer.model.markdown import markdown
from edgeinfer.model.verify import verify
from edgeinfer_export.options import ExportOptions
from edgeinfer_export.publish.export import export_model
from edgeinfer_export.publish.report import ExportReport
from edgeinfer_train.config import EdgeName
from edgeinfer_train.datasets.load import load_split
from edgeinfer_train.networks.model import MODEL_FILE, load_model, save_model

from ..conftest import LABELS, make_info
from .conftest import INT8, read_metadata

Exported = dict[str, tuple[Path, ExportReport]]


@pytest.fixture(scope="module")
def exported(runs: dict[str, Path], data: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Int8 export of each edge network, with its report."""
    results = {}
    for name, run in runs.items():
        out = tmp_path_factory.mktemp(f"int8-{name}") / "model.onnx"
        results[name] = out, export_model(run, out, data=data, options=INT8)
    return results


@pytest.fixture(scope="module")
def fp32(run: Path, small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ExportReport]:
    """Float32 export of edgenet, verified on a few faces."""
    out = tmp_path_factory.mktemp("fp32") / "model.onnx"
    return out, export_model(run, out, data=small_data)


@pytest.mark.parametrize("name", get_args(EdgeName))
def test_int8_export_contains_its_metadata_and_report(exported: Exported, runs: dict[str, Path], name: str) -> None:
    out, report = exported[name]
    card = read_metadata(out)
    assert (card.labels, card.size_hw, card.channels, card.colour) == (LABELS, (48, 48), 1, "grey")
    assert (card.margin, card.license, card.dataset) == (0.1, "CC0-1.0", "blobs")
    assert card.prior == pytest.approx(dict.fromkeys(LABELS, 1 / 7))
    assert "workplace or in education" in card.prohibited_use
    assert "not what a person feels" in card.intended_use
    figures = {key: card.metrics[key] for key in ("precision", "dataset", "split", "protocol", "count", "verified")}
    assert figures == {
        "precision": "int8",
        "dataset": "blobs",
        "split": "valid",
        "protocol": "by place, 7 labels",
        "count": 280,
        "verified": "on 256 validation faces",
    }
    stored = card.report
    assert stored == {**json.loads(json.dumps(report.to_mapping())), "source": runs[name].name}
    assert stored["calibration"] == {"method": "minmax", "faces": 20, "seed": 0, "split": "train"}
    assert stored["verdict"]["max_relative_difference"] <= stored["verdict"]["tolerance"] == 1e-3
    assert card.metrics["accuracy"] == pytest.approx(report.chosen.accuracy, abs=5e-5)
    assert report.confidence is not None
    assert card.temperature == report.confidence.temperature != 1.0
    assert {Path(entry).suffix for entry in json.loads((out.with_suffix(".json")).read_text())["versions"]} == {""}


@pytest.mark.parametrize("name", get_args(EdgeName))
def test_int8_stays_close_to_float32(exported: Exported, name: str) -> None:
    fp32, int8 = exported[name][1].variants
    assert (fp32.name, int8.name) == ("fp32", "int8")
    assert fp32.agreement == 1.0
    assert (fp32.outcome, int8.outcome) == ("int8 was requested", "published")
    assert int8.change is not None
    assert int8.agreement > 0.8, "the margins of an untrained network are small, but most labels agree"
    assert exported[name][1].operators["QuantizeLinear"] > 0


def test_report_and_card_are_written_next_to_the_model(exported: Exported) -> None:
    out, report = exported["edgenet"]
    assert sorted(path.name for path in out.parent.iterdir()) == ["model.json", "model.md", "model.onnx"]
    stored, card = json.loads((out.parent / "model.json").read_text()), read_metadata(out)
    assert stored == {"model": "model.onnx", "sha256": card.sha256, **json.loads(json.dumps(report.to_mapping()))}
    assert (out.parent / "model.md").read_text() == markdown(card)
    assert [check.name for check in verify(out)]


def test_runtime_agrees_with_keras(run: Path, small_data: Path, fp32: tuple[Path, ExportReport]) -> None:
    faces = load_split(small_data, "valid")
    logits = np.asarray(load_model(run / MODEL_FILE)[0].predict_on_batch(faces.images))
    classifier = EmotionClassifier.load(fp32[0])
    assert classifier.card.temperature == 1.0, "14 faces are too few to fit a temperature"
    for emotion, expected in zip(classifier.classify(list(faces.images[..., 0])), softmax(logits), strict=True):
        assert list(emotion.probabilities.values()) == pytest.approx(expected, abs=1e-4)


def test_few_faces_cause_a_warning_and_are_recorded(fp32: tuple[Path, ExportReport]) -> None:
    out, report = fp32
    assert report.warnings == (
        "compared on only 14 validation faces; 256 are recommended",
        "too few validation faces to calibrate the confidence; the temperature stays 1",
    )
    assert report.verdict.count == read_metadata(out).report["verdict"]["count"] == 14
    assert read_metadata(out).metrics["verified"] == "on 14 validation faces"
    assert read_metadata(out).metrics["precision"] == "fp32"
    assert [v.name for v in report.variants] == ["fp32"]


def test_export_without_data_is_marked_as_not_verified(run: Path, out: Path, tmp_path: Path) -> None:
    changed = tmp_path / MODEL_FILE
    save_model(load_model(run / MODEL_FILE)[0], make_info(commit="0123456789-dirty"), changed)
    report = export_model(changed, out)
    metrics = read_metadata(out).metrics
    assert metrics["verified"] == report.verdict.verified == "not verified on faces"
    assert "accuracy" not in metrics
    assert report.variants[0].accuracy is None
    assert len(report.warnings) == 2
    assert "no commit identifies it" in report.warnings[0]
    assert report.training.commit == read_metadata(out).report["training"]["commit"] == ""
    assert "not verified on faces" in report.warnings[1]


def test_subset_of_labels_is_exported(run: Path, data: Path, out: Path) -> None:
    labels = ("happy", "neutral", "angry")
    report = export_model(run, out, data=data, options=ExportOptions(labels=labels))
    card = read_metadata(out)
    assert card.labels == labels
    assert card.metrics["count"] == report.count == 120
    assert sum(card.prior.values()) == pytest.approx(1.0, abs=1e-4)
    faces = load_split(data, "valid", labels=labels).images
    logits = np.asarray(load_model(run / MODEL_FILE)[0].predict_on_batch(faces))[:, [1, 0, 4]]
    emotions = EmotionClassifier.load(out).classify(list(faces[..., 0]))
    assert [emotion.label for emotion in emotions] == [labels[i] for i in logits.argmax(1)]


def test_model_without_metadata_is_exported_with_given_labels_and_data(data: Path, out: Path) -> None:
    keras.utils.set_random_seed(3)
    image = keras.Input((48, 48, 1), dtype="uint8", name="picture")
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 5)(keras.layers.Rescaling(1 / 99)(image)))
    model = keras.Model(image, keras.layers.Dense(7)(features), name="mine")
    report = export_model(model, out, data=data, options=ExportOptions(labels=LABELS))
    card = read_metadata(out)
    assert (card.labels, card.dataset, report.source) == (LABELS, "blobs", "mine")
    assert report.training.backbone == "unnamed"


@pytest.mark.usefixtures("converted")
def test_progress_reports_each_step(run: Path, small_data: Path, out: Path) -> None:
    steps: list[str] = []
    export_model(run, out, data=small_data, options=INT8, progress=steps.append)
    assert steps == [
        f"reading {run}",
        "converting to ONNX",
        "comparing with the original model on 14 validation faces",
        "quantizing on 20 training faces",
        "timing fp32 int8",
    ]
