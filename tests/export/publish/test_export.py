"""The whole export: what is published, what it says of itself, and what is left after a failure."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import onnx
import pytest

import edgeinfer_export.publish.export as publishing
import edgeinfer_export.selection.study as module
from edgeinfer.errors import EdgeInferError, ModelError, OutputError, UsageError
from edgeinfer.expression.classifier import EmotionClassifier
from edgeinfer.model.card import ModelCard
from edgeinfer.model.markdown import markdown
from edgeinfer.model.session import load_session
from edgeinfer.model.verify import verify
from edgeinfer_export.convert.graph import Conversion, to_onnx
from edgeinfer_export.errors import ExportError
from edgeinfer_export.options import ExportOptions
from edgeinfer_export.publish.export import export_model
from edgeinfer_export.publish.report import ExportReport
from edgeinfer_export.quantize.quantizer import Quantizer
from edgeinfer_export.selection.criteria import loss
from edgeinfer_export.verify.measure import measure
from edgeinfer_train.config import EdgeName
from edgeinfer_train.datasets.load import load_split, pixel_digest
from edgeinfer_train.errors import DataError
from edgeinfer_train.evaluation.metrics import Change
from edgeinfer_train.networks.model import MODEL_FILE, load_model

from ..conftest import LABELS, DataMaker, Graphs

INT8 = ExportOptions(quantize="int8", calibration_faces=20, margin=0.1, license="CC0-1.0")
Exported = dict[str, tuple[Path, ExportReport]]


@pytest.fixture
def converted(graphs: Graphs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saves the time of a conversion where the test is about what comes after it."""
    content = graphs["edgenet"][1].SerializeToString()
    monkeypatch.setattr(module, "to_onnx", lambda _: Conversion(onnx.ModelProto.FromString(content), "kept", ()))


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
def test_an_int8_export_tells_how_to_use_it(exported: Exported, runs: dict[str, Path], name: str) -> None:
    out, report = exported[name]
    card = card_of(out)
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
    told = card.report
    assert told == {**json.loads(json.dumps(report.to_mapping())), "source": runs[name].name}
    assert told["calibration"] == {"method": "minmax", "faces": 20, "seed": 0, "split": "train"}
    assert told["verdict"]["max_relative_difference"] <= told["verdict"]["tolerance"] == 1e-3
    assert card.metrics["accuracy"] == pytest.approx(report.chosen.accuracy, abs=5e-5)
    assert report.confidence is not None
    assert card.temperature == report.confidence.temperature != 1.0
    assert {Path(entry).suffix for entry in json.loads((out.with_suffix(".json")).read_text())["versions"]} == {""}


@pytest.mark.parametrize("name", get_args(EdgeName))
def test_int8_stays_close_to_float32(exported: Exported, name: str) -> None:
    before, after = exported[name][1].variants
    assert (before.name, after.name) == ("fp32", "int8")
    assert before.agreement == 1.0
    assert (before.outcome, after.outcome) == ("int8 was asked for", "published")
    assert after.change is not None
    assert after.agreement > 0.8, "an untrained network decides by small margins, but mostly the same"
    assert exported[name][1].operators["QuantizeLinear"] > 0


def test_the_report_lies_beside_the_model(exported: Exported) -> None:
    out, report = exported["edgenet"]
    assert sorted(path.name for path in out.parent.iterdir()) == ["model.json", "model.md", "model.onnx"]
    told, card = json.loads((out.parent / "model.json").read_text()), card_of(out)
    assert told == {"model": "model.onnx", "sha256": card.sha256, **json.loads(json.dumps(report.to_mapping()))}
    assert (out.parent / "model.md").read_text() == markdown(card)
    assert [check.name for check in verify(out)]


def test_the_runtime_answers_with_the_published_file_as_keras_does(
    run: Path, small_data: Path, fp32: tuple[Path, ExportReport]
) -> None:
    faces = load_split(small_data, "valid")
    logits = np.asarray(load_model(run / MODEL_FILE)[0].predict_on_batch(faces.images))
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    classifier = EmotionClassifier.load(fp32[0])
    assert classifier.card.temperature == 1.0, "14 faces teach no temperature"
    for emotion, expected in zip(classifier.classify(list(faces.images[..., 0])), shares, strict=True):
        assert list(emotion.probabilities.values()) == pytest.approx(expected, abs=1e-4)


def test_few_faces_are_a_warning_and_recorded(fp32: tuple[Path, ExportReport]) -> None:
    out, report = fp32
    assert report.warnings == (
        "compared on 14 validation faces only; 256 are wanted",
        "too few validation faces to calibrate the confidence; the temperature stays 1",
    )
    assert report.verdict.count == card_of(out).report["verdict"]["count"] == 14
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

    class Spy(Quantizer):
        def __init__(self, model: onnx.ModelProto, faces: np.ndarray, folder: Path, **options: Any) -> None:
            seen.extend(pixel_digest(face) for face in faces)
            super().__init__(model, faces, folder, **options)

    monkeypatch.setattr(module, "Quantizer", Spy)
    report = export_model(run, out, data=data, options=INT8)
    training = {pixel_digest(image) for image in load_split(data, "train").images}
    assert report.calibration is not None
    assert 15 <= len(seen) == report.calibration["faces"] <= 20
    assert set(seen) <= training
    assert not set(seen) & held_out


@pytest.mark.usefixtures("converted")
def test_a_short_calibration_is_a_warning(run: Path, small_data: Path, out: Path) -> None:
    report = export_model(run, out, data=small_data, options=ExportOptions(quantize="int8"))
    assert "calibrated on 28 training faces; 512 were asked for" in report.warnings


def perturb(graphs: Graphs, change: Callable[[np.ndarray], np.ndarray]) -> Callable[..., Conversion]:
    """A converter whose model has other weights in its last layer."""

    def wrong(_: Any) -> Conversion:
        graph = onnx.ModelProto.FromString(graphs["edgenet"][1].SerializeToString())
        last = next(node for node in graph.graph.node if "logits" in node.output)
        weight = next(tensor for tensor in graph.graph.initializer if tensor.name == last.input[1])
        changed = change(onnx.numpy_helper.to_array(weight)).astype(np.float32)
        weight.CopyFrom(onnx.numpy_helper.from_array(changed, weight.name))
        return Conversion(graph, "wrong", ())

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
def test_auto_measures_every_form_and_publishes_the_fastest_that_keeps_its_accuracy(
    run: Path, data: Path, out: Path
) -> None:
    options = ExportOptions(quantize="auto", calibration_faces=20, max_drop=1.0)
    report = export_model(run, out, data=data, options=options)
    assert [v.name for v in report.variants] == ["fp32", "int8", "int8-signed", "int8-dynamic", "float16"]
    dynamic = next(v for v in report.variants if v.name == "int8-dynamic")
    assert "depend on the other faces in a batch" in dynamic.outcome
    fit = [v for v in report.variants if v.outcome == "published" or v.outcome.startswith("slower")]
    assert report.chosen == min(fit, key=lambda v: v.p50_ms)
    assert card_of(out).metrics["precision"] == report.published
    assert report.variants[0].ratio == 1.0


@pytest.mark.usefixtures("converted")
def test_where_int8_loses_too_much_its_most_harmful_layers_stay_float32(
    run: Path, data: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = loss
    graph = to_onnx(load_model(run / MODEL_FILE)[0]).graph
    first, second, *_ = (node.name for node in graph.graph.node if node.op_type == "Conv")
    monkeypatch.setattr(module, "loss", lambda c, limit: "too much" if c.name == "int8" else before(c, 1.0))
    monkeypatch.setattr(Quantizer, "sensitive_nodes", lambda self: (first, second))
    scores = measure

    def rigged(name: str, *arguments: Any, **options: Any) -> Any:
        made = scores(name, *arguments, **options)  # type: ignore[arg-type]
        worse = dataclasses.replace(made.scores, accuracy=0.0) if name == "int8" else made.scores  # type: ignore[type-var]
        return dataclasses.replace(made, scores=worse)

    monkeypatch.setattr(module, "measure", rigged)
    report = export_model(run, out, data=data, options=INT8)
    assert report.published == "int8-mixed"
    assert report.chosen.float_nodes == (first,)
    assert report.variants[1].outcome == "less accurate than the mixed form"
    kept = [t for t in onnx.load(out).graph.initializer if len(t.dims) == 4 and t.data_type == onnx.TensorProto.FLOAT]
    assert len(kept) == 1
    assert EmotionClassifier.load(out).labels == LABELS


@pytest.mark.usefixtures("converted")
def test_int8_that_loses_more_than_it_may_is_refused(
    run: Path, data: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Change(-0.02, (-0.03, -0.01), 0.0, (0.0, 0.0))
    measured = measure
    monkeypatch.setattr(
        module,
        "measure",
        lambda *a, **k: dataclasses.replace(measured(*a, **k), change=lost) if k.get("fp32") else measured(*a, **k),
    )
    monkeypatch.setattr(Quantizer, "sensitive_nodes", lambda self: ())
    allowed = export_model(run, out, data=data, options=INT8)
    assert any("int8 loses accuracy: -0.0200 [-0.0300, -0.0100]" in warning for warning in allowed.warnings)
    before = out.read_bytes()
    with pytest.raises(ExportError, match=r"refused: int8 changes accuracy by -0\.0200 .* --max-drop 0\.005") as caught:
        export_model(run, out, data=data, options=dataclasses.replace(INT8, max_drop=0.005))
    assert caught.value.exit_code == 5
    assert out.read_bytes() == before


def test_a_part_of_the_labels_becomes_a_model_of_its_own(run: Path, data: Path, out: Path) -> None:
    labels = ("happy", "neutral", "angry")
    report = export_model(run, out, data=data, options=ExportOptions(labels=labels))
    card = card_of(out)
    assert card.labels == labels
    assert card.metrics["count"] == report.count == 120
    assert sum(card.prior.values()) == pytest.approx(1.0, abs=1e-4)
    faces = load_split(data, "valid", labels=labels).images
    logits = np.asarray(load_model(run / MODEL_FILE)[0].predict_on_batch(faces))[:, [1, 0, 4]]
    answers = EmotionClassifier.load(out).classify(list(faces[..., 0]))
    assert [answer.label for answer in answers] == [labels[i] for i in logits.argmax(1)]


def test_a_model_of_another_origin_is_exported_with_what_it_is_told(data: Path, out: Path) -> None:
    keras.utils.set_random_seed(3)
    image = keras.Input((48, 48, 1), dtype="uint8", name="picture")
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 5)(keras.layers.Rescaling(1 / 99)(image)))
    model = keras.Model(image, keras.layers.Dense(7)(features), name="mine")
    report = export_model(model, out, data=data, options=ExportOptions(labels=LABELS))
    card = card_of(out)
    assert (card.labels, card.dataset, report.source) == (LABELS, "blobs", "mine")
    assert report.training.backbone == "unnamed"


@pytest.mark.usefixtures("converted")
def test_a_failure_leaves_the_old_file_untouched(
    run: Path, small_data: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out.write_bytes(b"the old model")

    def fail(*_: object) -> None:
        raise ExportError("no int8 today")

    monkeypatch.setattr(Quantizer, "make", fail)
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

    monkeypatch.setattr(publishing, "final_card", forget)
    with pytest.raises(ModelError, match="lacks the metadata key"):
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
        "timing fp32 int8",
    ]


@pytest.mark.parametrize(
    "values",
    [
        {"quantize": "int4"},
        {"calibration_faces": 0},
        {"seed": -1},
        {"max_drop": -0.1, "quantize": "int8"},
        {"max_drop": 0.1},
        {"target": "cortex-a72"},
        {"target": "abacus", "quantize": "auto"},
        {"labels": ("happy",)},
        {"labels": ("happy", "happy")},
        {"calibration": "guess"},
        {"margin": -0.5},
        {"margin": float("nan")},
        {"license": " "},
    ],
    ids=lambda values: "-".join(f"{k}={v}" for k, v in values.items()),
)
def test_options_out_of_bounds_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(values))):
        ExportOptions(**values)
