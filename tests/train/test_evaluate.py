from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeinfer.errors import ModelError, ModelNotFoundError
from edgeinfer_train.errors import DataError
from edgeinfer_train.evaluate import evaluate
from edgeinfer_train.metrics import Metrics
from edgeinfer_train.model import load_model


@pytest.fixture(scope="module")
def onnx_model(toy_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy run's model as an ONNX file with our metadata."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import onnx
        import tensorflow as tf
        import tf2onnx

        core, info = load_model(toy_run / "model.keras")
        signature = [tf.TensorSpec((None, 48, 48, 1), tf.uint8, name="image")]
        model, _ = tf2onnx.convert.from_keras(core, signature, opset=17)
    old = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["logits" if name == old else name for name in node.output]
    model.graph.output[0].name = "logits"
    given = {"height": 48, "width": 48, "channels": 1, "layout": "NHWC", "dtype": "uint8", "colour": "grey"}
    values = {
        "schema": "1", "labels": json.dumps(info.labels), "input": json.dumps(given), "crop": '{"margin": 0.0}',
        "temperature": "1.0", "prior": json.dumps(info.prior), "metrics": "{}", "dataset": "Toy", "version": "0",
        "license": "x", "intended_use": "x", "prohibited_use": "x",
    }  # fmt: skip
    onnx.helper.set_model_props(model, {f"edgeinfer.{k}": v for k, v in values.items()})
    # Only opsets of ONNX itself; the converter imports others that no node uses.
    kept = [entry for entry in model.opset_import if entry.domain in {"", "ai.onnx"}]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    path = tmp_path_factory.mktemp("onnx") / "toy.onnx"
    onnx.save(model, path)
    return path


def close(left: Metrics, right: Metrics) -> None:
    assert left.confusion == right.confusion
    assert left.accuracy == right.accuracy
    assert left.loss == pytest.approx(right.loss, rel=1e-4)


def test_a_run_its_keras_file_and_its_onnx_file_agree(toy_run: Path, toy_data: Path, onnx_model: Path) -> None:
    by_run, by_keras, by_onnx = (
        evaluate(m, toy_data, split="valid") for m in (toy_run, toy_run / "model.keras", onnx_model)
    )
    assert by_run.metrics == by_keras.metrics
    close(by_keras.metrics, by_onnx.metrics)
    assert by_onnx.labels == by_run.labels == ("neutral", "happy")
    assert by_onnx.model == str(onnx_model)


def test_figures_say_what_they_were_measured_on(toy_run: Path, toy_data: Path) -> None:
    found = evaluate(toy_run, toy_data, split="train")
    assert (found.dataset, found.split, found.label_mode) == ("Toy", "train", "by brightness")
    assert found.warnings == ()
    values = json.loads(json.dumps(found.to_mapping()))
    assert values["count"] == 96
    assert values["accuracy"] == found.metrics.accuracy
    assert values["per_class"]["happy"]["count"] == 48
    assert values["labels"] == ["neutral", "happy"]


def test_labels_without_faces_are_named(tmp_path: Path, toy_run: Path, make_toy_data: Callable[..., Path]) -> None:
    data = make_toy_data(tmp_path / "data", train=2, valid=1)
    found = evaluate(toy_run, data, split="valid")
    assert found.warnings == ("the valid split has no face of happy; no figure speaks of these labels",)
    assert found.to_mapping()["warnings"] == list(found.warnings)


@pytest.mark.parametrize("kind", ["keras", "onnx"])
def test_other_labels_are_refused(
    tmp_path: Path, toy_run: Path, onnx_model: Path, make_toy_data: Callable[..., Path], kind: str
) -> None:
    data = make_toy_data(tmp_path / "data", train=2, valid=2, labels=("happy", "neutral"))
    with pytest.raises(DataError, match="tells apart neutral happy, but the data hold happy neutral"):
        evaluate(toy_run if kind == "keras" else onnx_model, data, split="valid")


def test_an_absent_split(toy_run: Path, toy_data: Path) -> None:
    with pytest.raises(DataError, match="no test faces"):
        evaluate(toy_run, toy_data)


def test_models_that_are_not_there(tmp_path: Path, toy_data: Path) -> None:
    for path in (tmp_path, tmp_path / "model.keras", tmp_path / "model.onnx"):
        with pytest.raises(ModelNotFoundError) as caught:
            evaluate(path, toy_data, split="valid")
        assert caught.value.exit_code == 5


@pytest.mark.parametrize("name", ["model.keras", "model.onnx", "model.h5"])
def test_files_that_are_no_models(tmp_path: Path, toy_data: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(ModelError):
        evaluate(tmp_path / name, toy_data, split="valid")
