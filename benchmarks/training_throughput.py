"""Throughput of the training data path compared with that of the training step.

    python benchmarks/training_throughput.py DATA [--backbone NAME] [--faces N] [--batches N]

The data path is everything that `edgeinfer-train fit` does before the network: read and decode the files, draw and mix
the batches, augment them. `fit` reads the files once per run; here each pass includes that cost, so the ratio is a
lower bound. The training step is forward pass, backward pass and update with the same batch size, without augmentation.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from numpy.typing import NDArray

from common import save_results
from edgeinfer_train.config import FitConfig
from edgeinfer_train.datasets.augment import augmentation
from edgeinfer_train.datasets.load import load_split, read_info
from edgeinfer_train.networks.backbones import BACKBONES
from edgeinfer_train.networks.model import build_core
from edgeinfer_train.training.batches import FaceBatches


def measure_rate(faces: int, function: Callable[[], object]) -> float:
    """Return the number of faces per second that a function processes."""
    started = time.perf_counter()
    function()
    return faces / (time.perf_counter() - started)


def measure_augmentation(config: FitConfig, pictures: NDArray[np.uint8]) -> float:
    """Return the number of faces per second that the augmentation layers process."""
    augment = keras.Sequential([keras.Input(pictures.shape[1:], dtype="uint8"), *augmentation(config.augment, 0)])
    augment.compile()
    # `predict` uses the Keras loop, as fit does; the layers augment in training mode only.
    stack = keras.Model(augment.inputs, augment(augment.inputs[0], training=True))
    stack.predict(pictures[: config.batch_size], batch_size=config.batch_size, verbose=0)
    return measure_rate(len(pictures), lambda: stack.predict(pictures, batch_size=config.batch_size, verbose=0))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path)
    parser.add_argument("--backbone", default="edgenet", choices=list(BACKBONES))
    parser.add_argument("--faces", type=int, default=4000)
    parser.add_argument("--batches", type=int, default=40)
    options = parser.parse_args()

    config, info = FitConfig(backbone=options.backbone), read_info(options.data)
    spec = BACKBONES[config.backbone]
    faces = load_split(options.data, "train", size_hw=spec.size_hw, colour=spec.colour, limit=options.faces)
    reading = measure_rate(
        len(faces),
        lambda: load_split(options.data, "train", size_hw=spec.size_hw, colour=spec.colour, limit=options.faces),
    )

    batches = FaceBatches(faces, batch_size=config.batch_size, mixup=config.augment.mixup, seed=0)
    count = min(options.batches, len(batches) - 1)
    drawn = [batches[number] for number in range(count + 1)]
    drawing = measure_rate(count * config.batch_size, lambda: [batches[number] for number in range(count)])

    augmenting = measure_augmentation(config, np.concatenate([images for images, _ in drawn[:count]]))

    core = build_core(config.backbone, len(info.labels), width=config.width, precision=config.precision)
    core.compile(keras.optimizers.SGD(0.01, momentum=0.9), keras.losses.CategoricalCrossentropy(from_logits=True))
    for images, labels in drawn[:3]:
        core.train_on_batch(images, labels)
    step = measure_rate(count * config.batch_size, lambda: [core.train_on_batch(*batch) for batch in drawn[:count]])

    path = 1 / (1 / reading + 1 / drawing + 1 / augmenting)
    print(f"read and decode {reading:8.0f} faces/s")
    print(f"draw and mix    {drawing:8.0f} faces/s")
    print(f"augment         {augmenting:8.0f} faces/s")
    print(f"data path       {path:8.0f} faces/s")
    print(f"training step   {step:8.0f} faces/s  ({config.backbone}, {config.precision}, {os.cpu_count()} cores)")
    print(f"the data path is {path / step:.1f} times as fast as the step")
    figures = {"reading": reading, "drawing": drawing, "varying": augmenting, "data_path": path, "step": step}
    save_results(
        "training_throughput",
        {
            "backbone": config.backbone,
            "precision": config.precision,
            "ratio": path / step,
            "faces_per_second": figures,
        },
    )


if __name__ == "__main__":
    main()
