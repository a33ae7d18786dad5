"""Fine-tuning settings, with few faces and without tf.function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer_train.config import FitConfig
from edgeinfer_train.datasets.load import read_info
from edgeinfer_train.errors import ConfigError
from edgeinfer_train.networks.model import ModelInfo, backbone_of, build_core, load_model
from edgeinfer_train.training import fit as training
from edgeinfer_train.training.data import load_training_data
from edgeinfer_train.training.fit import fit
from edgeinfer_train.training.state import TrainingState

from ..conftest import NO_AUGMENTATION

pytestmark = pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")


@pytest.fixture
def without_result_files(monkeypatch: pytest.MonkeyPatch, eager: None) -> None:
    """Disable graph compilation and result files, which take longer than a few training steps."""
    monkeypatch.setattr(training, "finish_run", lambda *_, **__: None)


@pytest.fixture
def imbalanced_data(tmp_path: Path, make_toy_data: Callable[..., Path]) -> Path:
    """Write three dark faces per face with a bright lower half."""
    data = make_toy_data(tmp_path / "imbalanced_data", train=24, valid=8)
    for face in sorted((data / "train" / "happy").iterdir())[4:]:
        face.unlink()
    return data


CHANGES: dict[str, dict[str, Any]] = {
    "optimizer": {"optimizer": "adamw"},
    "schedule": {"schedule": "constant"},
    "label smoothing": {"label_smoothing": 0.3},
    "class weights": {"class_weights": "balanced"},
    "image size": {"image_size": 64},
    "trainable layers": {"trainable_layers": 10},
    "phases": {"phases": "two-phase", "head_epochs": 1},
    "low light": {"augment": replace(NO_AUGMENTATION, low_light=2.0)},
}


@pytest.mark.usefixtures("without_result_files")
def test_each_setting_changes_the_weights(
    tmp_path: Path, imbalanced_data: Path, toy_config: FitConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = replace(toy_config, epochs=2, limit=8, batch_size=4, ema_momentum=0.0, augment=NO_AUGMENTATION)
    weights_by_name: dict[str, list[NDArray[np.float32]]] = {}

    def keep_weights(model: keras.Model, _info: ModelInfo, path: Path) -> None:
        weights_by_name[path.parent.name] = model.get_weights()

    monkeypatch.setattr(training, "save_model", keep_weights)
    monkeypatch.setattr(training, "save_weights", lambda *_: None)
    monkeypatch.setattr(TrainingState, "save", lambda *_: None)
    for name, changes in {"base": {}, "again": {}, **CHANGES}.items():
        fit(imbalanced_data, tmp_path / name, replace(base, **changes))
    assert weights_by_name.keys() == {"base", "again", *CHANGES}
    for name, weights in weights_by_name.items():
        gap = max(float(np.abs(a - b).max()) for a, b in zip(weights_by_name["base"], weights, strict=True))
        assert (gap < 1e-5) if name in ("base", "again") else (gap > 1e-3), name


@pytest.mark.usefixtures("without_result_files")
def test_two_phases_train_the_head_first(tmp_path: Path, toy_data: Path, toy_config: FitConfig) -> None:
    config = replace(toy_config, phases="two-phase", head_epochs=2, limit=16, monitor="val_loss", patience=1)
    kernels, rates = [], []

    def record_kernels(rows: list[dict[str, float]]) -> None:
        core = keras.models.clone_model(load_model(tmp_path / "run" / "model.keras")[0])
        core.load_weights(tmp_path / "run" / "model.weights.h5")
        kernels.append((core.layers[3].kernel.numpy(), core.get_layer("logits").kernel.numpy()))
        rates.append(rows[-1]["learning_rate"])

    def always_best(rows: list[dict[str, float]], _monitor: str) -> int:
        return len(rows) - 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgeinfer_train.training.state.best_epoch", always_best)
        fit(toy_data, tmp_path / "run", config, on_epoch=record_kernels)
    first, head = ([pair[part] for pair in kernels] for part in (0, 1))
    assert len(kernels) == 4
    np.testing.assert_array_equal(first[0], first[1])
    assert np.abs(head[0] - head[1]).max() > 1e-5
    assert np.abs(first[1] - first[2]).max() > 1e-5
    assert rates[:2] == pytest.approx([0.01, 0.01])


@pytest.mark.usefixtures("without_result_files")
def test_interrupted_phases_are_resumed(tmp_path: Path, toy_data: Path, toy_config: FitConfig) -> None:
    """Interrupt the run between the phases and in the second one."""
    config = replace(toy_config, phases="two-phase", head_epochs=2, limit=8)
    whole = fit(toy_data, tmp_path / "whole", config)
    for stop in (2, 3):
        run = tmp_path / str(stop)

        def interrupt(rows: list[dict[str, float]], stop: int = stop) -> None:
            if len(rows) == stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fit(toy_data, run, config, on_epoch=interrupt)
        resumed = fit(toy_data, run, config, resume=True)
        assert [row["epoch"] for row in resumed] == [1, 2, 3, 4]
        for left, right in zip(resumed, whole, strict=True):
            assert left == pytest.approx(right, rel=2e-3, abs=2e-3), stop


@pytest.mark.parametrize(
    ("phases", "accuracies", "finished"),
    [
        ("whole", [0.9, 0.5, 0.5], True),
        ("two-phase", [0.9, 0.5, 0.5], False),
        ("two-phase", [0.9, 0.5, 0.5, 0.5], False),
        ("two-phase", [0.9, 0.5, 0.5, 0.5, 0.5], True),
    ],
)
def test_patience_counts_from_the_second_phase(
    tmp_path: Path, phases: Any, accuracies: list[float], finished: bool
) -> None:
    config = FitConfig(phases=phases, head_epochs=3, epochs=30, patience=2)
    state = TrainingState(tmp_path, config)
    state.history = [{"val_accuracy": value} for value in accuracies]
    assert state.finished == finished


@pytest.mark.usefixtures("without_result_files")
def test_frozen_backbone_keeps_its_weights_and_statistics(
    tmp_path: Path, toy_data: Path, toy_config: FitConfig
) -> None:
    """Check also that the backbone's batch statistics are not estimated again for averaged weights."""
    config = replace(toy_config, trainable_layers=0, epochs=1, limit=16)
    fit(toy_data, tmp_path / "run", config)
    keras.utils.set_random_seed(config.seed)
    start = build_core("edgenet", 2, width=0.25, dropout=config.dropout)
    kept = load_model(tmp_path / "run" / "model.keras")[0]
    for before, after in zip(backbone_of(start).get_weights(), backbone_of(kept).get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert np.abs(start.get_layer("logits").kernel.numpy() - kept.get_layer("logits").kernel.numpy()).max() > 1e-6


def test_balanced_class_weights_favour_rare_labels(imbalanced_data: Path) -> None:
    config = FitConfig(image_size=48)
    data = load_training_data(imbalanced_data, read_info(imbalanced_data), config)
    assert data.class_weights(config) is None
    assert data.class_weights(replace(config, class_weights="balanced")) == pytest.approx({0: 16 / 24, 1: 16 / 8})


def test_image_size_below_the_backbones_minimum_is_rejected(tmp_path: Path, toy_data: Path) -> None:
    config = replace(FitConfig.for_backbone("xception"), weights="none", image_size=48)
    with pytest.raises(ConfigError, match="`image_size` is 48: xception needs at least 71"):
        fit(toy_data, tmp_path / "run", config)
    assert not (tmp_path / "run").exists()
