from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer_train.config import FitConfig
from edgeinfer_train.datasets.load import Faces
from edgeinfer_train.errors import DivergedError, RunError
from edgeinfer_train.evaluation.history import History
from edgeinfer_train.evaluation.metrics import score
from edgeinfer_train.training.callbacks import Remember, Validate


@pytest.fixture
def faces() -> Faces:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
    labels = np.arange(40) % 3
    return Faces(images, labels, np.eye(3, dtype=np.float32)[labels], tuple(map(str, range(40))))


def network(*, labels: int = 3) -> keras.Model:
    image = keras.Input((8, 8, 1), dtype="uint8")
    features = keras.layers.Conv2D(4, 3)(keras.layers.Rescaling(1 / 255)(image))
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.BatchNormalization()(features))
    return keras.Model(image, keras.layers.Dense(labels)(features))


def stepped(core: keras.Model, *, ema_momentum: float) -> keras.optimizers.Optimizer:
    """An optimizer that took three steps."""
    optimizer = keras.optimizers.SGD(0.5, use_ema=ema_momentum > 0, ema_momentum=ema_momentum or 0.99)
    optimizer.build(core.trainable_variables)
    for step in range(3):
        optimizer.apply([keras.ops.ones_like(v) * (step + 1) for v in core.trainable_variables])
    return optimizer


def validated(core: keras.Model, kept: keras.Model, faces: Faces, *, ema_momentum: float) -> dict[str, float]:
    callback = Validate(core, kept, faces=lambda: faces, valid=faces)
    callback.set_model(SimpleNamespace(optimizer=stepped(core, ema_momentum=ema_momentum)))
    logs: dict[str, Any] = {"loss": 1.0}
    callback.on_epoch_end(0, logs)
    return logs


def conv_outputs(model: keras.Model, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    kernel, bias = (np.asarray(w) for w in model.layers[2].weights)
    patches = np.lib.stride_tricks.sliding_window_view(images[..., 0] / 255, (3, 3), axis=(1, 2))
    found: NDArray[np.float32] = np.einsum("nhwij,ijc->nhwc", patches, kernel[:, :, 0]) + bias
    return found


def test_the_kept_model_has_averaged_weights_and_their_own_statistics(faces: Faces) -> None:
    core, kept = network(), network()
    start = np.asarray(core.layers[-1].kernel)
    logs = validated(core, kept, faces, ema_momentum=0.5)
    # Steps of 0.5, 1.0 and 1.5 downwards lead to -0.5, -1.5 and -3.0; the average starts at the first of them.
    np.testing.assert_allclose(np.asarray(core.layers[-1].kernel), start - 3.0, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(kept.layers[-1].kernel), start - 2.0, rtol=1e-5)
    outputs = conv_outputs(kept, faces.images)
    norm = kept.layers[3]
    np.testing.assert_allclose(np.asarray(norm.moving_mean), outputs.mean(axis=(0, 1, 2)), rtol=1e-3)
    np.testing.assert_allclose(np.asarray(norm.moving_variance), outputs.var(axis=(0, 1, 2)), rtol=1e-3)
    assert norm.momentum == 0.99
    np.testing.assert_array_equal(np.asarray(core.layers[3].moving_mean), 0)
    figures = score(np.asarray(kept(faces.images)), faces.labels, ("a", "b", "c"))
    assert logs["val_accuracy"] == pytest.approx(figures.accuracy)
    assert logs["val_loss"] == pytest.approx(figures.loss, rel=1e-4)


def test_without_an_average_the_weights_are_taken_as_they_are(faces: Faces) -> None:
    core, kept = network(), network()
    validated(core, kept, faces, ema_momentum=0.0)
    for left, right in zip(core.get_weights(), kept.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


def test_weights_that_are_not_finite_are_refused(faces: Faces) -> None:
    core, kept = network(), network()
    core.layers[-1].bias.assign([np.nan, 0.0, 0.0])
    with pytest.raises(DivergedError, match="epoch 1; start again with a lower learning_rate"):
        validated(core, kept, faces, ema_momentum=0.0)


def remember(folder: Path, model: keras.Model, config: FitConfig, saved: list[int]) -> Remember:
    def save(history: History) -> None:
        saved.append(len(history))

    callback = Remember(folder, config, save, lambda _history: None)
    callback.set_model(model)
    return callback


def test_the_best_epochs_are_saved_and_patience_ends_the_run(tmp_path: Path) -> None:
    model = network()
    model.compile("sgd", "mse")
    saved: list[int] = []
    callback = remember(tmp_path, model, FitConfig(patience=2), saved)
    stopped = []
    for epoch, accuracy in enumerate((0.5, 0.4, 0.6, 0.6, 0.5)):
        callback.on_epoch_end(epoch, {"loss": 1.0, "val_loss": 1.0, "val_accuracy": accuracy})
        stopped.append(bool(getattr(model, "stop_training", False)))
    assert saved == [1, 3]
    assert stopped == [False, False, False, False, True]
    assert {p.name for p in tmp_path.iterdir()} == {"state.json", "epoch-0005.weights.h5"}
    again = remember(tmp_path, model, FitConfig(patience=2), saved)
    assert again.history == callback.history
    assert again.finished
    assert not remember(tmp_path, model, FitConfig(patience=3), saved).finished
    assert remember(tmp_path, model, FitConfig(patience=3, epochs=5), saved).finished


def test_weights_and_optimizer_come_back(tmp_path: Path) -> None:
    model, other = network(), network()
    for candidate in (model, other):
        candidate.compile(keras.optimizers.SGD(0.1, momentum=0.9, use_ema=True), "mse")
        candidate.optimizer.build(candidate.trainable_variables)
    model.optimizer.apply([keras.ops.ones_like(v) for v in model.trainable_variables])
    remember(tmp_path, model, FitConfig(), []).on_epoch_end(0, {"val_accuracy": 0.5})
    remember(tmp_path, other, FitConfig(), []).restore(other)
    for left, right in zip(
        model.weights + model.optimizer.variables, other.weights + other.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(np.asarray(left), np.asarray(right))


def test_a_state_of_another_model_is_refused(tmp_path: Path) -> None:
    model = network()
    model.compile("sgd", "mse")
    remember(tmp_path, model, FitConfig(), []).on_epoch_end(0, {"val_accuracy": 0.5})
    other = network(labels=4)
    other.compile("sgd", "mse")
    with pytest.raises(RunError, match="does not fit this model"):
        remember(tmp_path, other, FitConfig(), []).restore(other)
