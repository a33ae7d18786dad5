"""One-pass batch normalization for training on TensorFlow.

Keras normalizes a batch with six operations, each of which reads and writes the whole tensor, so that the training of
a small network on a CPU is limited by memory bandwidth. TensorFlow has one kernel for the whole computation.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def with_fused_normalization(network: keras.Model) -> keras.Model:
    """Return a copy of a network with one-pass batch normalization and the same weights.

    Weights and saved states are interchangeable between both networks. Backends other than TensorFlow fuse the
    operations when they compile; on these, the network is returned unchanged.
    """
    if keras.backend.backend() != "tensorflow":
        return network

    def clone_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
        cls = BatchNormalization if type(layer) is keras.layers.BatchNormalization else type(layer)
        return cls.from_config(layer.get_config())

    fused = keras.models.clone_model(network, clone_function=clone_layer)
    fused.set_weights(network.get_weights())
    return fused


class BatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Batch normalization in one pass over memory.

    It has the name of its base class, because the path of a weight in a saved state contains the class name. In
    training, the result is that of the base class, except that the moving variance is the unbiased estimate (divided
    by N - 1), as in PyTorch.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalize a (B, H, W, C) tensor in the layer's compute dtype."""
        fusible = self.scale and self.center and mask is None and len(inputs.shape) == 4 and self.axis in (-1, 3)
        if not (training and self.trainable and fusible):
            return super().call(inputs, training=training, mask=mask)
        from tensorflow import raw_ops  # noqa: PLC0415 - only on this backend

        empty = ops.zeros((0,), dtype="float32")
        result = raw_ops.FusedBatchNormV3(
            x=inputs, scale=ops.cast(self.gamma, "float32"), offset=ops.cast(self.beta, "float32"),
            mean=empty, variance=empty, epsilon=self.epsilon, is_training=True,
        )  # fmt: skip
        for moving, new in ((self.moving_mean, result.batch_mean), (self.moving_variance, result.batch_variance)):
            moving.assign(moving * self.momentum + new * (1.0 - self.momentum))
        return result.y
