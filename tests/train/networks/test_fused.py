from __future__ import annotations

import keras
import numpy as np
import pytest

from edgeinfer_train.networks.fused import BatchNormalization, fuse
from edgeinfer_train.networks.model import build_core

ops = keras.ops
on_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="another backend fuses by itself")


@on_tensorflow
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_one_pass_gives_what_keras_gives(dtype: str) -> None:
    import tensorflow as tf

    faces = np.random.default_rng(0).normal(1, 3, (8, 6, 6, 16)).astype(np.float32)
    answers = []
    for kind in (keras.layers.BatchNormalization, BatchNormalization):
        layer = kind(momentum=0.9, epsilon=1e-5, dtype=dtype)
        layer.build(faces.shape)
        layer.gamma.assign(np.linspace(0.5, 2, 16))
        layer.beta.assign(np.linspace(-1, 1, 16))
        given = tf.constant(faces)
        with tf.GradientTape() as tape:
            tape.watch(given)
            made = ops.cast(layer(given, training=True), "float32")
            loss = ops.sum(made**3)
        slopes = tape.gradient(loss, [given, layer.gamma.value, layer.beta.value])
        moved = layer.moving_mean, layer.moving_variance
        answers.append([ops.convert_to_numpy(part) for part in (made, *slopes, *moved)])
    # The parent's moving variance divides by the number of values, 288, this one's by one less.
    answers[0][-1] = 0.9 + (answers[0][-1] - 0.9) * 288 / 287
    for theirs, ours in zip(*answers, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())


@on_tensorflow
def test_frozen_or_at_rest_it_uses_what_it_has_learned() -> None:
    layer = BatchNormalization()
    faces = np.full((2, 3, 3, 4), 5, np.float32)
    layer.build(faces.shape)
    for training, trainable in ((False, True), (True, False)):
        layer.trainable = trainable
        np.testing.assert_allclose(layer(faces, training=training), faces, rtol=1e-3)
    assert not np.asarray(layer.moving_mean).any()


def test_weights_fit_either_network() -> None:
    plain = build_core("edgenet", 7, width=0.5)
    fused = fuse(plain)
    faces = np.random.default_rng(0).integers(0, 256, (4, 48, 48, 1)).astype(np.uint8)
    np.testing.assert_allclose(fused(faces, training=False), plain(faces, training=False), atol=1e-5)
    assert [w.path for w in fused.weights] == [w.path for w in plain.weights]
