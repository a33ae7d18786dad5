"""Training on one device or on all, with the data parallelism of the Keras backend.

Each device holds the whole network and processes its part of each batch.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import keras

from edgeinfer.errors import CapabilityError
from edgeinfer_train.config import Devices


@contextlib.contextmanager
def device_scope(devices: Devices) -> Iterator[int]:
    """Build and train networks inside the block on one device or on all.

    On TensorFlow, "all" uses `tf.distribute` over all GPUs of this host, or all (virtual) processors without GPUs;
    with `TF_CONFIG` set, over all hosts that it lists. On JAX, it uses Keras' `DataParallel` over all JAX devices.

    Args:
        devices: "one" keeps the default device, "all" splits each batch over all devices.

    Yields:
        The number of devices that share a batch.

    Raises:
        CapabilityError: The backend does not support several devices.
    """
    backend = keras.backend.backend()
    if devices == "one":
        yield 1
    elif backend == "tensorflow":
        import tensorflow as tf  # noqa: PLC0415 - other backends do not need it

        if "TF_CONFIG" in os.environ:
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
        else:
            found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
            strategy = tf.distribute.MirroredStrategy([device.name for device in found])
        with strategy.scope():
            yield strategy.num_replicas_in_sync
    elif backend == "jax":
        before = keras.distribution.distribution()
        found = keras.distribution.list_devices()
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=found))
        try:
            yield len(found)
        finally:
            keras.distribution.set_distribution(before)
    else:
        raise CapabilityError(
            f"Keras on {backend} does not support training on several devices: set KERAS_BACKEND to tensorflow or jax"
        )
