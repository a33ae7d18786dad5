"""Batch normalization in one pass over memory, for training on TensorFlow.

Keras normalizes by six operations, each of which reads and writes the whole tensor; on a CPU a small network
waits for memory most of the time. TensorFlow has one kernel for all of it.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def fuse(network: keras.Model) -> keras.Model:
    """Rebuild a network with the one-pass layer in place of Keras' own, and with the same weights.

    Weights and saved states of either fit the other. Other backends compile the operations together themselves;
    there the network comes back as it is.
    """
    if keras.backend.backend() != "tensorflow":
        return network

    def layer(like: keras.layers.Layer) -> keras.layers.Layer:
        kind = BatchNormalization if type(like) is keras.layers.BatchNormalization else type(like)
        return kind.from_config(like.get_config())

    fused = keras.models.clone_model(network, clone_function=layer)
    fused.set_weights(network.get_weights())
    return fused


class BatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Named as its parent, since the path of a weight in a saved state holds the name of the class.

    In training it gives what the parent gives, except that the moving variance is that of the population
    estimated from the batch (N - 1), as in PyTorch.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """(B, H, W, C) in the layer's compute dtype, to the same."""
        whole = self.scale and self.center and mask is None and len(inputs.shape) == 4 and self.axis in (-1, 3)
        if not (training and self.trainable and whole):
            return super().call(inputs, training=training, mask=mask)
        from tensorflow import raw_ops  # noqa: PLC0415 - on this backend only

        nothing = ops.zeros((0,), dtype="float32")
        done = raw_ops.FusedBatchNormV3(
            x=inputs, scale=ops.cast(self.gamma, "float32"), offset=ops.cast(self.beta, "float32"),
            mean=nothing, variance=nothing, epsilon=self.epsilon, is_training=True,
        )  # fmt: skip
        for moving, new in ((self.moving_mean, done.batch_mean), (self.moving_variance, done.batch_variance)):
            moving.assign(moving * self.momentum + new * (1.0 - self.momentum))
        return done.y
