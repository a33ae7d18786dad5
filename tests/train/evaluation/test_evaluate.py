from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinfer.errors import ModelError, ModelNotFoundError, UsageError
from edgeinfer_train.errors import DataError
from edgeinfer_train.evaluation.evaluate import MISTAKES, evaluate, measuring_mode
from edgeinfer_train.evaluation.metrics import Metrics
from edgeinfer_train.labels import LABEL_MODES, LabelMode


def assert_close(left: Metrics, right: Metrics) -> None:
    assert left.confusion == right.confusion
    assert left.accuracy == right.accuracy
    assert left.loss == pytest.approx(right.loss, rel=1e-4)
    assert left.calibration_error == pytest.approx(right.calibration_error, abs=1e-4)


def test_run_keras_and_onnx_files_give_the_same_metrics(toy_run: Path, toy_data: Path, toy_export: Path) -> None:
    by_run, by_keras, by_onnx = (
        evaluate(m, toy_data, split="valid") for m in (toy_run, toy_run / "model.keras", toy_export)
    )
    assert by_run.metrics == by_keras.metrics
    assert_close(by_keras.metrics, by_onnx.metrics)
    assert by_onnx.labels == by_run.labels == ("neutral", "happy")
    assert by_onnx.model == str(toy_export)


def test_temperature_of_a_file_is_applied(toy_export: Path, toy_data: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    graph, warmer = onnx.load(toy_export), tmp_path / "warmer.onnx"
    next(entry for entry in graph.metadata_props if entry.key == "edgeinfer.temperature").value = "100"
    onnx.save(graph, warmer)
    before, after = (evaluate(m, toy_data, split="valid").metrics for m in (toy_export, warmer))
    assert after.confusion == before.confusion
    assert after.loss == pytest.approx(np.log(2), abs=0.1)


def test_prior_shifts_the_predictions(toy_run: Path, toy_data: Path) -> None:
    without_happy = evaluate(toy_run, toy_data, split="valid", prior={"neutral": 1, "happy": 0})
    assert without_happy.metrics.per_class["happy"].recall == 0
    assert without_happy.metrics.per_class["neutral"].recall == 1
    assert np.isfinite(without_happy.metrics.loss)
    assert without_happy.to_mapping()["prior"] == {"neutral": 1, "happy": 0}
    # The training data are balanced, so both priors are equal.
    assert_close(
        *(evaluate(toy_run, toy_data, split="valid", prior=prior).metrics for prior in ("natural", "balanced"))
    )


def test_labels_can_be_restricted_and_reordered(toy_run: Path, toy_data: Path) -> None:
    both = evaluate(toy_run, toy_data, split="valid").metrics
    swapped = evaluate(toy_run, toy_data, split="valid", labels=("happy", "neutral"))
    assert swapped.labels == ("happy", "neutral")
    assert swapped.metrics.accuracy == both.accuracy
    assert swapped.metrics.per_class["happy"] == both.per_class["happy"]
    with pytest.raises(UsageError, match="not sad"):
        evaluate(toy_run, toy_data, split="valid", labels=("happy", "sad"))


def test_evaluation_describes_its_conditions(toy_run: Path, toy_data: Path) -> None:
    found = evaluate(toy_run, toy_data, split="train")
    assert (found.dataset, found.split, found.label_mode) == ("Toy", "train", "by brightness")
    assert found.warnings == ()
    values = json.loads(json.dumps(found.to_mapping()))
    assert values["count"] == 96
    assert values["accuracy"] == found.metrics.accuracy
    assert values["per_class"]["happy"]["count"] == 48
    assert values["labels"] == ["neutral", "happy"]


def test_labels_without_faces_cause_a_warning(
    tmp_path: Path, toy_run: Path, make_toy_data: Callable[..., Path]
) -> None:
    data = make_toy_data(tmp_path / "data", train=2, valid=1)
    found = evaluate(toy_run, data, split="valid")
    assert found.warnings == ("the valid split has no face of happy; the metrics exclude these labels",)
    assert found.to_mapping()["warnings"] == list(found.warnings)


@pytest.mark.parametrize("kind", ["keras", "onnx"])
def test_data_without_the_models_labels_are_rejected(
    tmp_path: Path, toy_run: Path, toy_export: Path, make_toy_data: Callable[..., Path], kind: str
) -> None:
    data = make_toy_data(tmp_path / "data", train=2, valid=2, labels=("happy", "fear"))
    with pytest.raises(DataError, match="has the labels happy fear, not neutral"):
        evaluate(toy_run if kind == "keras" else toy_export, data, split="valid")


def test_faces_with_unknown_labels_are_excluded(tmp_path: Path, toy_run: Path, toy_data: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(toy_data, data)
    shutil.copytree(data / "valid/happy", data / "valid/contempt")
    info = json.loads((data / "dataset.json").read_text())
    (data / "dataset.json").write_text(json.dumps({**info, "labels": ["contempt", *reversed(info["labels"])]}))
    assert evaluate(toy_run, data, split="valid").metrics == evaluate(toy_run, toy_data, split="valid").metrics


def test_absent_split_is_rejected(toy_run: Path, toy_data: Path) -> None:
    with pytest.raises(DataError, match="no test faces"):
        evaluate(toy_run, toy_data)


def test_missing_models_are_rejected(tmp_path: Path, toy_data: Path) -> None:
    for path in (tmp_path, tmp_path / "model.keras", tmp_path / "model.onnx"):
        with pytest.raises(ModelNotFoundError) as caught:
            evaluate(path, toy_data, split="valid")
        assert caught.value.exit_code == 5


@pytest.mark.parametrize("name", ["model.keras", "model.onnx", "model.h5"])
def test_invalid_model_files_are_rejected(tmp_path: Path, toy_data: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(ModelError):
        evaluate(tmp_path / name, toy_data, split="valid")


def set_default(data: Path, mode: LabelMode) -> None:
    values = json.loads((data / "dataset.json").read_text())
    (data / "dataset.json").write_text(json.dumps({**values, "default_label_mode": mode}))


def test_label_modes_select_faces_and_loss(toy_run: Path, toy_data: Path, voted_data: Path) -> None:
    argmax, majority, votes = (evaluate(toy_run, voted_data, split="valid", label_mode=mode) for mode in LABEL_MODES)
    assert argmax.metrics == evaluate(toy_run, toy_data, split="valid").metrics
    assert (argmax.metrics.count, majority.metrics.count, votes.metrics.count) == (48, 16, 48)
    assert votes.metrics.accuracy == argmax.metrics.accuracy
    assert votes.metrics.loss > argmax.metrics.loss + 0.1
    assert [e.label_mode for e in (argmax, majority, votes)] == [
        "by brightness", "by brightness, faces with a majority only", "by brightness, votes as soft labels",
    ]  # fmt: skip
    with pytest.raises(DataError, match="no votes"):
        evaluate(toy_run, toy_data, split="valid", label_mode="votes")


@pytest.mark.parametrize("default", LABEL_MODES)
def test_default_label_mode_depends_on_the_data(toy_run: Path, voted_data: Path, default: LabelMode) -> None:
    set_default(voted_data, default)
    found = evaluate(toy_run, voted_data, split="valid")
    explicit = evaluate(toy_run, voted_data, split="valid", label_mode=measuring_mode(default))
    assert found == explicit
    assert found.metrics.count == (16 if default == "majority" else 48)


def test_mistakes_are_sorted_by_confidence(tmp_path: Path, toy_run: Path, toy_data: Path) -> None:
    """Count faces in the wrong class folder as mistakes of a correct model."""
    data = tmp_path / "data"
    shutil.copytree(toy_data, data)
    moved = [f"valid/happy/0{n:02}0.png" for n in range(3)]
    for name in moved:
        (data / name.replace("happy", "neutral")).replace(data / name)
    assert evaluate(toy_run, toy_data, split="valid").mistakes == ()
    found = evaluate(toy_run, data, split="valid").mistakes
    assert {m.file for m in found} == set(moved)
    assert {(m.label, m.answer) for m in found} == {("happy", "neutral")}
    assert [m.confidence for m in found] == sorted((m.confidence for m in found), reverse=True)
    assert all(0.5 < m.confidence <= 1 for m in found)


def test_number_of_mistakes_is_limited(tmp_path: Path, toy_run: Path, make_toy_data: Callable[..., Path]) -> None:
    data = make_toy_data(tmp_path / "data", train=2, valid=120)
    (data / "valid/neutral").rename(data / "valid/other")
    (data / "valid/happy").rename(data / "valid/neutral")
    (data / "valid/other").rename(data / "valid/happy")
    found = evaluate(toy_run, data, split="valid")
    assert found.metrics.accuracy == 0
    assert len(found.mistakes) == MISTAKES


class TestCommand:
    def test_label_mode_option_changes_the_metrics(
        self, command: Any, toy_run: Path, voted_data: Path, tmp_path: Path
    ) -> None:
        losses = {}
        for mode, words in {"majority": "16 faces", "votes": "votes as soft labels"}.items():
            done = command(
                "evaluate", toy_run, voted_data, "--split", "valid", "--label-mode", mode, "--json", tmp_path / "f.json"
            )
            assert done.code == 0, done.err
            assert words in done.out
            losses[mode] = json.loads((tmp_path / "f.json").read_text())["loss"]
        assert losses["votes"] > losses["majority"] + 0.1

    def test_mistakes_option_writes_a_picture(
        self, command: Any, toy_run: Path, toy_data: Path, tmp_path: Path
    ) -> None:
        outputs = ["--mistakes", tmp_path / "m.png", "--reliability", tmp_path / "r.png"]
        done = command("evaluate", toy_run, toy_data, "--split", "valid", *outputs)
        assert done.code == 0, done.err
        assert cv2.imread(str(tmp_path / "m.png")) is not None
        assert cv2.imread(str(tmp_path / "r.png")) is not None

    @pytest.mark.parametrize(
        ("option", "code"),
        [
            ("--mistakes={}/m.gif", 2),
            ("--reliability={}/r.html", 2),
            ("--mistakes={}/none/m.png", 6),
            ("--json={}/none/m.json", 6),
        ],
    )
    def test_invalid_output_paths_are_rejected_first(
        self, command: Any, tmp_path: Path, option: str, code: int
    ) -> None:
        done = command("evaluate", "RUN", "DATA", option.format(tmp_path))
        assert done.code == code
        assert done.err.count("\n") == 1

    def test_unwritable_picture_is_rejected(self, command: Any, toy_run: Path, toy_data: Path, tmp_path: Path) -> None:
        (tmp_path / "m.png").mkdir()
        done = command("evaluate", toy_run, toy_data, "--split", "valid", "--mistakes", tmp_path / "m.png")
        assert done.code == 6
        assert done.err.startswith(f"edgeinfer-train: cannot write {tmp_path / 'm.png'}")
