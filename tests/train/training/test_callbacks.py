from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer_train.datasets.load import Faces
from edgeinfer_train.errors import DivergedError
from edgeinfer_train.evaluation.metrics import score
from edgeinfer_train.training.callbacks import ValidationCallback


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


def optimizer_after_three_steps(core: keras.Model, *, ema_momentum: float) -> keras.optimizers.Optimizer:
    """Return an optimizer that was applied three times."""
    optimizer = keras.optimizers.SGD(0.5, use_ema=ema_momentum > 0, ema_momentum=ema_momentum or 0.99)
    optimizer.build(core.trainable_variables)
    for step in range(3):
        optimizer.apply([keras.ops.ones_like(v) * (step + 1) for v in core.trainable_variables])
    return optimizer


def validate(
    core: keras.Model,
    kept: keras.Model,
    faces: Faces,
    *,
    ema_momentum: float,
    samples: Sequence[NDArray[np.uint8]] = (),
    loss: float = 1.0,
) -> dict[str, float]:
    callback = ValidationCallback(core, kept, samples=lambda: list(samples or [faces.images]), valid=faces)
    callback.set_model(SimpleNamespace(optimizer=optimizer_after_three_steps(core, ema_momentum=ema_momentum)))
    logs: dict[str, Any] = {"loss": loss}
    callback.on_epoch_end(0, logs)
    return logs


def conv_outputs(model: keras.Model, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    kernel, bias = (np.asarray(w) for w in model.layers[2].weights)
    patches = np.lib.stride_tricks.sliding_window_view(images[..., 0] / 255, (3, 3), axis=(1, 2))
    found: NDArray[np.float32] = np.einsum("nhwij,ijc->nhwc", patches, kernel[:, :, 0]) + bias
    return found


def test_kept_model_has_averaged_weights_and_new_statistics(faces: Faces) -> None:
    core, kept = network(), network()
    start = np.asarray(core.layers[-1].kernel)
    logs = validate(core, kept, faces, ema_momentum=0.5)
    # Steps of -0.5, -1.0 and -1.5 lead to -0.5, -1.5 and -3.0; the average starts with the first value.
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


def test_statistics_with_the_lowest_loss_are_kept(faces: Faces) -> None:
    samples = [faces.images, faces.images // 8, faces.images // 2 + 100]
    core = network()

    def loss(*chosen: NDArray[np.uint8]) -> tuple[float, list[NDArray[np.float32]]]:
        kept = network()
        return validate(core, kept, faces, ema_momentum=0.5, samples=chosen)["val_loss"], kept.get_weights()

    start = core.get_weights()
    found = []
    for chosen in ([sample] for sample in samples):
        core.set_weights(start)
        found.append(loss(*chosen))
    core.set_weights(start)
    best, weights = loss(*samples)
    assert len({round(each, 6) for each, _ in found}) == len(samples)
    lowest = min(found, key=lambda each: each[0])
    assert best == pytest.approx(lowest[0], rel=1e-5)
    for left, right in zip(weights, lowest[1], strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-6)


def test_weights_are_copied_without_averaging(faces: Faces) -> None:
    core, kept = network(), network()
    validate(core, kept, faces, ema_momentum=0.0)
    for left, right in zip(core.get_weights(), kept.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


def test_infinite_metrics_raise_an_error(faces: Faces) -> None:
    core, kept = network(), network()
    core.layers[-1].bias.assign([np.nan, 0.0, 0.0])
    with pytest.raises(DivergedError, match="epoch 1: start a new run with a lower `learning_rate`"):
        validate(core, kept, faces, ema_momentum=0.0)


def test_infinite_training_loss_raises_an_error(faces: Faces) -> None:
    with pytest.raises(DivergedError, match="epoch 1"):
        validate(network(), network(), faces, ema_momentum=0.5, loss=float("nan"))
