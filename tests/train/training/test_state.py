from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from edgeinfer_train.config import FitConfig
from edgeinfer_train.errors import RunError
from edgeinfer_train.evaluation.history import History
from edgeinfer_train.training.callbacks import CheckpointCallback
from edgeinfer_train.training.state import TrainingState


def network(*, labels: int = 3) -> keras.Model:
    image = keras.Input((8, 8, 1), dtype="uint8")
    features = keras.layers.Conv2D(4, 3)(keras.layers.Rescaling(1 / 255)(image))
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.BatchNormalization()(features))
    return keras.Model(image, keras.layers.Dense(labels)(features))


def checkpoint(state: TrainingState, model: keras.Model, saved: list[int]) -> CheckpointCallback:
    """Return a callback that records the epochs whose model it would save."""

    def save(history: History) -> None:
        saved.append(len(history))

    callback = CheckpointCallback(state, save, lambda _history: None)
    callback.set_model(model)
    return callback


def test_best_epochs_are_saved_and_patience_stops_the_run(tmp_path: Path) -> None:
    model = network()
    model.compile("sgd", "mse")
    saved: list[int] = []
    state = TrainingState(tmp_path, FitConfig(patience=2))
    callback = checkpoint(state, model, saved)
    stopped = []
    for epoch, accuracy in enumerate((0.5, 0.4, 0.6, 0.6, 0.5)):
        callback.on_epoch_end(epoch, {"loss": 1.0, "val_loss": 1.0, "val_accuracy": accuracy})
        stopped.append(bool(getattr(model, "stop_training", False)))
    assert saved == [1, 3]
    assert stopped == [False, False, False, False, True]
    assert {p.name for p in tmp_path.iterdir()} == {"state.json", "epoch-0005.weights.h5"}
    restored = TrainingState(tmp_path, FitConfig(patience=2))
    assert restored.history == state.history
    assert restored.finished
    assert not TrainingState(tmp_path, FitConfig(patience=3)).finished
    assert TrainingState(tmp_path, FitConfig(patience=3, epochs=5)).finished


def test_weights_and_optimizer_are_restored(tmp_path: Path) -> None:
    model, other = network(), network()
    for candidate in (model, other):
        candidate.compile(keras.optimizers.SGD(0.1, momentum=0.9, use_ema=True), "mse")
        candidate.optimizer.build(candidate.trainable_variables)
    model.optimizer.apply([keras.ops.ones_like(v) for v in model.trainable_variables])
    checkpoint(TrainingState(tmp_path, FitConfig()), model, []).on_epoch_end(0, {"val_accuracy": 0.5})
    TrainingState(tmp_path, FitConfig()).restore(other)
    for left, right in zip(
        model.weights + model.optimizer.variables, other.weights + other.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(np.asarray(left), np.asarray(right))


def test_state_of_another_model_is_rejected(tmp_path: Path) -> None:
    model = network()
    model.compile("sgd", "mse")
    checkpoint(TrainingState(tmp_path, FitConfig()), model, []).on_epoch_end(0, {"val_accuracy": 0.5})
    other = network(labels=4)
    other.compile("sgd", "mse")
    with pytest.raises(RunError, match="does not match this model"):
        TrainingState(tmp_path, FitConfig()).restore(other)
