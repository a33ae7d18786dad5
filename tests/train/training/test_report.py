from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import pytest

from edgeinfer.errors import CapabilityError
from edgeinfer_train.config import FitConfig, LabelChoice
from edgeinfer_train.config_file import load_config
from edgeinfer_train.datasets.load import read_info
from edgeinfer_train.errors import RunError
from edgeinfer_train.evaluation.evaluate import evaluate
from edgeinfer_train.networks.model import build_core, load_model, read_model_info
from edgeinfer_train.training import fit as training
from edgeinfer_train.training.data import load_training_data
from edgeinfer_train.training.report import missing_files, multiply_adds
from edgeinfer_train.training.run_folder import resolve_config


def test_metrics_json_describes_the_run(toy_run: Path, toy_data: Path, toy_config: FitConfig) -> None:
    values = json.loads((toy_run / "metrics.json").read_text())
    assert values["dataset"] == "Toy"
    assert values["label_mode"] == "by brightness"
    assert values["labels"] == ["neutral", "happy"]
    assert values["faces"] == {"train": 96, "valid": 48}
    assert (values["seed"], values["backbone"], values["epochs"]) == (0, "edgenet", toy_config.epochs)
    assert 1 <= values["best_epoch"] <= toy_config.epochs
    core = load_model(toy_run / "model.keras")[0]
    assert values["parameters"] == core.count_params()
    assert values["multiply_adds"] == multiply_adds(core)
    assert values["versions"].keys() == {"python", "backend", "edgeinfer", "keras", "tensorflow", "numpy"}
    measured = evaluate(toy_run, toy_data, split="valid").to_mapping()
    assert {**values["validation"], "model": None} == {**json.loads(json.dumps(measured)), "model": None}


@pytest.mark.parametrize("name", ["curves.png", "confusion.png", "reliability.png", "mistakes.png"])
def test_plots_are_drawn(toy_run: Path, name: str) -> None:
    picture = cv2.imread(str(toy_run / name))
    assert picture is not None
    assert min(picture.shape[:2]) > 300
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50


def test_missing_files_are_listed(tmp_path: Path, toy_run: Path) -> None:
    assert missing_files(toy_run) == ()
    (tmp_path / "model.keras").write_bytes(b"")
    assert missing_files(tmp_path) == (
        "model.weights.h5", "history.csv", "metrics.json", "curves.png", "confusion.png", "reliability.png",
        "mistakes.png",
    )  # fmt: skip


LAYERS = {
    "convolution": (keras.layers.Conv2D(5, 3, strides=2, padding="same"), (4 * 3) * (3 * 3 * 2 * 5)),
    "without padding": (keras.layers.Conv2D(5, 3), (6 * 4) * (3 * 3 * 2 * 5)),
    "in groups": (keras.layers.Conv2D(4, 1, groups=2), (8 * 6) * (1 * 4)),
    "depthwise": (keras.layers.DepthwiseConv2D(3, padding="same"), (8 * 6) * (3 * 3 * 2)),
    "separable": (
        keras.layers.SeparableConv2D(5, 3, strides=2, padding="same"), (4 * 3) * (3 * 3 * 2) + (4 * 3) * (2 * 5),
    ),
    "dense at each place": (keras.layers.Dense(7), (8 * 6) * (2 * 7)),
    "normalization": (keras.layers.BatchNormalization(), 0),
}  # fmt: skip


@pytest.mark.parametrize(("layer", "expected"), LAYERS.values(), ids=LAYERS.keys())
def test_multiply_adds_match_manual_calculation(layer: keras.layers.Layer, expected: int) -> None:
    """Use an 8x6 image with two channels, and a dense head after the layer."""
    image = keras.Input((8, 6, 2))
    features = layer(image)
    head = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(features))
    assert multiply_adds(keras.Model(image, head)) == expected + features.shape[-1] * 3


def test_multiply_adds_match_the_published_figure() -> None:
    """Compare with 300 million: MobileNetV2 at 224 pixels, 1000 labels (Sandler et al. 2018, arXiv:1801.04381)."""
    found = multiply_adds(build_core("mobilenetv2", 7))
    assert found + 1280 * (1000 - 7) == pytest.approx(300e6, rel=0.01)


pytestmark = pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")


@pytest.fixture
def short_config() -> FitConfig:
    return FitConfig(width=0.25, epochs=1, batch_size=32, ema_momentum=0.0, precision="float32")


TARGETS = {
    "data": (96, [[4 / 7, 3 / 7], [1, 0]]),
    "votes": (96, [[4 / 7, 3 / 7], [1, 0]]),
    "argmax": (96, [[1, 0]]),
    "majority": (32, [[1, 0]]),
}


@pytest.mark.parametrize(("mode", "expected"), TARGETS.items(), ids=TARGETS.keys())
def test_label_mode_determines_the_targets(
    voted_data: Path, short_config: FitConfig, mode: LabelChoice, expected: tuple[int, list[list[float]]]
) -> None:
    config = resolve_config(replace(short_config, label_mode=mode), read_info(voted_data))
    data = load_training_data(voted_data, read_info(voted_data), config)
    count, neutral = expected
    assert (len(data.train), len(data.valid)) == (count, count // 2)
    rows = data.train.soft_labels[data.train.labels == 0]
    np.testing.assert_allclose(np.unique(rows, axis=0), neutral)


@pytest.mark.usefixtures("eager")
def test_label_mode_is_recorded(tmp_path: Path, voted_data: Path, short_config: FitConfig) -> None:
    """Check that the model is measured on the faces of its mode and cannot be resumed in another one."""
    run = tmp_path / "run"
    training.fit(voted_data, run, replace(short_config, label_mode="majority"))
    values = json.loads((run / "metrics.json").read_text())
    words = "by brightness, faces with a majority only"
    assert values["label_mode"] == values["validation"]["label_mode"] == read_model_info(run / "model.keras").label_mode
    assert values["label_mode"] == words
    assert values["faces"] == {"train": 32, "valid": 16}
    assert values["validation"]["count"] == 16
    with pytest.raises(RunError, match="other settings"):
        training.fit(voted_data, run, short_config, resume=True)

    training.fit(voted_data, tmp_path / "soft", short_config)
    values = json.loads((tmp_path / "soft" / "metrics.json").read_text())
    assert values["label_mode"] == "by brightness, votes as soft labels"
    assert (values["validation"]["label_mode"], values["validation"]["count"]) == ("by brightness", 48)
    assert load_config(tmp_path / "soft" / "config.toml").label_mode == "votes"
    training.fit(voted_data, tmp_path / "soft", replace(short_config, label_mode="data"), resume=True)


@pytest.mark.usefixtures("eager")
def test_tensorboard_logs_are_written(tmp_path: Path, voted_data: Path, short_config: FitConfig, toy_run: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    assert not list(toy_run.rglob("events.out.tfevents.*"))
    training.fit(voted_data, tmp_path / "run", replace(short_config, tensorboard=True))
    found = [path.relative_to(tmp_path / "run").parts for path in (tmp_path / "run").rglob("events.out.tfevents.*")]
    assert sorted(parts[:-1] for parts in found) == [("tensorboard", "train"), ("tensorboard", "validation")]


def test_tensorboard_option_requires_tensorboard(
    tmp_path: Path, voted_data: Path, short_config: FitConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(CapabilityError, match="pip install tensorboard") as caught:
        training.fit(voted_data, tmp_path / "run", replace(short_config, tensorboard=True))
    assert caught.value.exit_code == 3
    assert not (tmp_path / "run").exists()


def test_options_reach_the_settings(
    command: Any, tmp_path: Path, voted_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[FitConfig] = []

    def record(_data: Path, _run: Path, config: FitConfig, **_: object) -> None:
        seen.append(config)
        raise RunError("stop")

    monkeypatch.setattr(training, "fit", record)
    for words in ([], ["--label-mode", "majority"], ["--tensorboard"]):
        assert command("fit", voted_data, "--run", tmp_path / "run", *words).code == 6
    assert [(c.label_mode, c.tensorboard) for c in seen] == [("data", False), ("majority", False), ("data", True)]
