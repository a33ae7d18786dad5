from __future__ import annotations

import keras
import numpy as np
import pytest

from edgeinfer_train.networks.fused import BatchNormalization, with_fused_normalization
from edgeinfer_train.networks.model import build_core

ops = keras.ops
on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="other backends fuse the operations themselves"
)


@on_tensorflow
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_fused_normalization_matches_keras(dtype: str) -> None:
    import tensorflow as tf

    faces = np.random.default_rng(0).normal(1, 3, (8, 6, 6, 16)).astype(np.float32)
    results = []
    for kind in (keras.layers.BatchNormalization, BatchNormalization):
        layer = kind(momentum=0.9, epsilon=1e-5, dtype=dtype)
        layer.build(faces.shape)
        layer.gamma.assign(np.linspace(0.5, 2, 16))
        layer.beta.assign(np.linspace(-1, 1, 16))
        inputs = tf.constant(faces)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = ops.cast(layer(inputs, training=True), "float32")
            loss = ops.sum(outputs**3)
        gradients = tape.gradient(loss, [inputs, layer.gamma.value, layer.beta.value])
        statistics = layer.moving_mean, layer.moving_variance
        results.append([ops.convert_to_numpy(part) for part in (outputs, *gradients, *statistics)])
    # Keras divides the variance by the number of values, 288, the fused layer by 287.
    results[0][-1] = 0.9 + (results[0][-1] - 0.9) * 288 / 287
    for expected, found in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@on_tensorflow
def test_frozen_or_inference_layer_uses_stored_statistics() -> None:
    layer = BatchNormalization()
    faces = np.full((2, 3, 3, 4), 5, np.float32)
    layer.build(faces.shape)
    for training, trainable in ((False, True), (True, False)):
        layer.trainable = trainable
        np.testing.assert_allclose(layer(faces, training=training), faces, rtol=1e-3)
    assert not np.asarray(layer.moving_mean).any()


def test_weights_are_interchangeable() -> None:
    plain = build_core("edgenet", 7, width=0.5)
    fused = with_fused_normalization(plain)
    faces = np.random.default_rng(0).integers(0, 256, (4, 48, 48, 1)).astype(np.uint8)
    np.testing.assert_allclose(fused(faces, training=False), plain(faces, training=False), atol=1e-5)
    assert [w.path for w in fused.weights] == [w.path for w in plain.weights]
