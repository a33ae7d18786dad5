"""One device or all of them: data parallel, by what the Keras backend itself brings.

Every device holds the whole network and learns from its share of each batch.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import keras

from edgeinfer.errors import CapabilityError
from edgeinfer_train.config import Devices


@contextlib.contextmanager
def spread(devices: Devices) -> Iterator[int]:
    """Make networks that are built and trained inside learn on some devices.

    On TensorFlow this is `tf.distribute`: all graphics cards of this host, else all (virtual) processors; with
    `TF_CONFIG` set, all hosts that it names. On JAX it is Keras' `DataParallel` over all that JAX sees.

    Args:
        devices: "one" leaves everything as it is, "all" spreads.

    Yields:
        The number of devices; a batch is divided by it.

    Raises:
        CapabilityError: the backend cannot spread.
    """
    backend = keras.backend.backend()
    if devices == "one":
        yield 1
    elif backend == "tensorflow":
        import tensorflow as tf  # noqa: PLC0415 - not on the path of other backends

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
        raise CapabilityError(f"Keras on {backend} cannot spread a training; set KERAS_BACKEND to tensorflow or jax")
