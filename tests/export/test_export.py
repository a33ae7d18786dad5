"""The whole export: what is published, what it says of itself, and what is left after a failure."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import pytest

import edgeinfer_export.export as module
from edgeinfer.classifier import EmotionClassifier
from edgeinfer.errors import EdgeInferError, ModelError, OutputError, UsageError
from edgeinfer.model import ModelCard, load_session
from edgeinfer_export.errors import ExportError
from edgeinfer_export.export import export_model
from edgeinfer_export.options import ExportOptions
from edgeinfer_export.quantize import quantize_int8
from edgeinfer_export.report import ExportReport
from edgeinfer_train.config import EdgeName
from edgeinfer_train.data import load_split, pixel_digest
from edgeinfer_train.errors import DataError
from edgeinfer_train.model import MODEL_FILE, load_model

from .conftest import LABELS, DataMaker, Graphs

INT8 = ExportOptions(quantize="int8", calibration_faces=20, margin=0.1, license="CC0-1.0")
Exported = dict[str, tuple[Path, ExportReport]]


@pytest.fixture
def converted(graphs: Graphs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saves the time of a conversion where the test is about what comes after it."""
    content = graphs["edgenet"][1].SerializeToString()
    monkeypatch.setattr(module, "to_onnx", lambda _: onnx.ModelProto.FromString(content))


@pytest.fixture(scope="module")
def exported(runs: dict[str, Path], data: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Each backbone in int8, with its report."""
    made = {}
    for name, run in runs.items():
        out = tmp_path_factory.mktemp(f"int8-{name}") / "model.onnx"
        made[name] = out, export_model(run, out, data=data, options=INT8)
    return made


@pytest.fixture(scope="module")
def fp32(run: Path, small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ExportReport]:
    """A float32 export, verified on a few faces."""
    out = tmp_path_factory.mktemp("fp32") / "model.onnx"
    return out, export_model(run, out, data=small_data)


def card_of(path: Path) -> ModelCard:
    return load_session(path)[1]


@pytest.mark.parametrize("name", get_args(EdgeName))
def test_an_int8_export_tells_how_to_use_it(exported: Exported, name: str) -> None:
    out, report = exported[name]
    card = card_of(out)
    assert (card.labels, card.size_hw, card.channels, card.colour) == (LABELS, (48, 48), 1, "grey")
    assert (card.margin, card.temperature, card.license, card.dataset) == (0.1, 1.0, "CC0-1.0", "blobs")
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
    assert card.metrics["calibration"] == {"method": "MinMax", "split": "train", "count": 20}
    assert card.metrics["verdict"]["max_relative_difference"] <= card.metrics["verdict"]["tolerance"] == 1e-3
    assert card.metrics["accuracy"] == pytest.approx(report.variants[-1].accuracy, abs=5e-5)
    assert card.metrics["fp32"]["accuracy"] == pytest.approx(report.variants[0].accuracy, abs=5e-5)


@pytest.mark.parametrize("name", get_args(EdgeName))
def test_int8_stays_close_to_float32(exported: Exported, name: str) -> None:
    before, after = exported[name][1].variants
    assert (before.name, after.name) == ("fp32", "int8")
    assert before.agreement == 1.0
    assert after.agreement > 0.8, "an untrained network decides by small margins, but mostly the same"
    assert exported[name][1].operators["QuantizeLinear"] > 0


def test_the_report_lies_beside_the_model(exported: Exported) -> None:
    out, report = exported["edgenet"]
    assert sorted(path.name for path in out.parent.iterdir()) == ["model.json", "model.onnx"]
    assert json.loads((out.parent / "model.json").read_text()) == json.loads(json.dumps(report.to_mapping()))
    card = card_of(out)
    assert (report.sha256, report.variants[-1].size_bytes) == (card.sha256, card.size_bytes)
    assert report.calibration_faces == 20
    assert report.warnings == ()


def test_the_runtime_answers_with_the_published_file_as_keras_does(
    run: Path, small_data: Path, fp32: tuple[Path, ExportReport]
) -> None:
    faces = load_split(small_data, "valid")
    logits = np.asarray(load_model(run / MODEL_FILE)[0].predict_on_batch(faces.images))
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    classifier = EmotionClassifier.load(fp32[0])
    for emotion, expected in zip(classifier.classify(list(faces.images[..., 0])), shares, strict=True):
        assert list(emotion.probabilities.values()) == pytest.approx(expected, abs=1e-4)


def test_few_faces_are_a_warning_and_recorded(fp32: tuple[Path, ExportReport]) -> None:
    out, report = fp32
    assert report.warnings == ("compared on 14 validation faces only; 256 are wanted",)
    assert report.verdict.count == card_of(out).metrics["verdict"]["count"] == 14
    assert card_of(out).metrics["verified"] == "on 14 validation faces"
    assert card_of(out).metrics["precision"] == "fp32"
    assert [v.name for v in report.variants] == ["fp32"]


def test_without_data_the_file_says_that_no_face_was_seen(run: Path, out: Path) -> None:
    report = export_model(run / MODEL_FILE, out)
    metrics = card_of(out).metrics
    assert metrics["verified"] == report.verdict.verified == "not verified on faces"
    assert "accuracy" not in metrics
    assert report.variants[0].accuracy is None
    assert len(report.warnings) == 1
    assert "not verified on faces" in report.warnings[0]


@pytest.mark.usefixtures("converted")
def test_validation_faces_never_calibrate(
    run: Path, make_data: DataMaker, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_data(train=3, valid=2, seed=9)
    for face in (data / "valid" / "happy").iterdir():
        shutil.copy(face, data / "train" / "happy" / f"copy-{face.name}")
    held_out = {pixel_digest(image) for image in load_split(data, "valid").images}
    seen: list[Any] = []
    quantize = quantize_int8

    def spy(graph: onnx.ModelProto, faces: np.ndarray, folder: Path) -> onnx.ModelProto:
        seen.extend(pixel_digest(face) for face in faces)
        return quantize(graph, faces, folder)

    monkeypatch.setattr(module, "quantize_int8", spy)
    report = export_model(run, out, data=data, options=INT8)
    training = {pixel_digest(image) for image in load_split(data, "train").images}
    assert 15 <= len(seen) == report.calibration_faces <= 20
    assert set(seen) <= training
    assert not set(seen) & held_out


@pytest.mark.usefixtures("converted")
def test_a_short_calibration_is_a_warning(run: Path, small_data: Path, out: Path) -> None:
    report = export_model(run, out, data=small_data, options=ExportOptions(quantize="int8"))
    assert "calibrated on 28 training faces; 512 were asked for" in report.warnings


def perturb(graphs: Graphs, change: Callable[[np.ndarray], np.ndarray]) -> Callable[..., onnx.ModelProto]:
    """A converter whose model has other weights in its last layer."""

    def wrong(_: Any) -> onnx.ModelProto:
        graph = onnx.ModelProto.FromString(graphs["edgenet"][1].SerializeToString())
        last = next(node for node in graph.graph.node if "logits" in node.output)
        weight = next(tensor for tensor in graph.graph.initializer if tensor.name == last.input[1])
        changed = change(onnx.numpy_helper.to_array(weight)).astype(np.float32)
        weight.CopyFrom(onnx.numpy_helper.from_array(changed, weight.name))
        return graph

    return wrong


@pytest.mark.parametrize(
    "change",
    [lambda w: w * 1.05, lambda w: w[..., ::-1], lambda w: w * np.nan],
    ids=["scaled", "labels reversed", "not a number"],
)
def test_a_wrong_conversion_is_refused_and_leaves_nothing(
    run: Path,
    small_data: Path,
    out: Path,
    graphs: Graphs,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[np.ndarray], np.ndarray],
) -> None:
    monkeypatch.setattr(module, "to_onnx", perturb(graphs, change))
    with pytest.raises(ExportError, match="refused: the ONNX model differs from Keras"):
        export_model(run, out, data=small_data)
    assert list(out.parent.iterdir()) == []


@pytest.mark.usefixtures("converted")
def test_a_failure_leaves_the_old_file_untouched(
    run: Path, small_data: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out.write_bytes(b"the old model")

    def fail(*_: object) -> None:
        raise ExportError("no int8 today")

    monkeypatch.setattr(module, "quantize_int8", fail)
    with pytest.raises(ExportError, match="no int8 today"):
        export_model(run, out, data=small_data, options=INT8)
    assert [(path.name, path.read_bytes()) for path in out.parent.iterdir()] == [("model.onnx", b"the old model")]


@pytest.mark.usefixtures("converted")
def test_an_interruption_leaves_nothing(run: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "judge", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export_model(run, out)
    assert list(out.parent.iterdir()) == []


@pytest.mark.usefixtures("converted")
def test_what_the_runtime_does_not_take_is_not_published(run: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forget(graph: onnx.ModelProto, *_: object, **__: object) -> None:
        del graph.metadata_props[:]

    monkeypatch.setattr(module, "write_card", forget)
    with pytest.raises(ModelError, match="does not say how to use it"):
        export_model(run, out)
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "options", "error", "code"),
    [
        ("model.tflite", ExportOptions(), UsageError, 2),
        ("model", ExportOptions(), UsageError, 2),
        ("model.onnx", INT8, UsageError, 2),
        ("missing/model.onnx", ExportOptions(), OutputError, 6),
        ("folder.onnx", ExportOptions(), OutputError, 6),
        ("reported.onnx", ExportOptions(), OutputError, 6),
    ],
    ids=["other suffix", "no suffix", "int8 without data", "no such folder", "a folder", "report is a folder"],
)
def test_a_request_that_cannot_be_met_is_refused_at_once(
    out: Path, name: str, options: ExportOptions, error: type[EdgeInferError], code: int
) -> None:
    for folder in ("folder.onnx", "reported.json"):
        (out.parent / folder).mkdir()
    with pytest.raises(error) as caught:
        export_model(out.parent / "no such run", out.with_name("x").parent / name, options=options)
    assert caught.value.exit_code == code


def test_a_folder_that_refuses_files_is_an_output_error(run: Path) -> None:
    assert Path("/proc").is_dir(), "the one folder that refuses even root"
    with pytest.raises(OutputError, match="cannot write in the folder /proc"):
        export_model(run, Path("/proc/model.onnx"))


@pytest.mark.usefixtures("converted")
def test_a_full_disk_is_an_output_error(run: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left on device"):
        export_model(run, out)
    assert list(out.parent.iterdir()) == []


@pytest.mark.usefixtures("converted")
def test_data_without_training_faces_cannot_calibrate(run: Path, make_data: DataMaker, out: Path) -> None:
    with pytest.raises(DataError, match="no train faces"):
        export_model(run, out, data=make_data(valid=2), options=INT8)
    assert list(out.parent.iterdir()) == []


@pytest.mark.usefixtures("converted")
def test_progress_names_each_step(run: Path, small_data: Path, out: Path) -> None:
    said: list[str] = []
    export_model(run, out, data=small_data, options=INT8, progress=said.append)
    assert said == [
        f"reading {run}",
        "converting to ONNX",
        "comparing with Keras on 14 validation faces",
        "quantizing on 20 training faces",
    ]


@pytest.mark.parametrize(
    "values",
    [
        {"quantize": "int4"},
        {"calibration_faces": 0},
        {"seed": -1},
        {"margin": -0.5},
        {"margin": float("nan")},
        {"license": " "},
    ],
    ids=lambda values: "-".join(f"{k}={v}" for k, v in values.items()),
)
def test_options_out_of_bounds_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(values))):
        ExportOptions(**values)
