"""The networks of a run: the core being trained, its teachers, and the copy that is saved."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edgeinfer_train.config import FitConfig, Precision
from edgeinfer_train.datasets.augment import augmentation
from edgeinfer_train.datasets.load import Faces
from edgeinfer_train.networks.fused import with_fused_normalization
from edgeinfer_train.networks.model import build_core, freeze
from edgeinfer_train.networks.start import Start
from edgeinfer_train.networks.statistics import STATISTICS_BATCH, STATISTICS_FACES
from edgeinfer_train.networks.weights import initialize
from edgeinfer_train.training.distillation import DistillationModel, Teachers
from edgeinfer_train.training.optimizers import Phase, build_optimizer


class Student:
    """Networks of a run.

    Attributes:
        core: Network being trained.
        teachers: Teachers, or None without distillation.
        distils_in_step: True if the teachers run in each training step instead of on views.
        model: Augmentation layers and core, with the distillation loss if the teachers run in each step.
        kept: Float32 copy of the core, which is measured and saved.
    """

    def __init__(
        self, config: FitConfig, labels: tuple[str, ...], *, load_weights: bool, start: Start | None = None
    ) -> None:
        """Build all networks.

        Args:
            config: Resolved settings of the run.
            labels: Labels of the data.
            load_weights: True to load the initial weights of the backbone; False for a resumed run.
            start: Trained model with the structure of the network, whose weights are set elsewhere; None builds the
                backbone of the settings.

        Raises:
            ConfigError: Keras does not publish ImageNet weights for the backbone.
            ModelNotFoundError: The initial weights or a teacher do not exist.
            ModelError: The initial weights or a teacher have a different format or network.
            DataError: A teacher has different labels.
        """
        keras.utils.set_random_seed(config.seed)
        self.core = with_fused_normalization(_build(config, labels, config.precision, start))
        if load_weights and start is None:
            initialize(self.core, config.backbone, config.weights)
        self.teachers = Teachers(config.teachers, labels, config.precision) if config.teachers else None
        self.distils_in_step = self.teachers is not None and not config.distil_views
        last: keras.layers.Layer = self.core
        if self.teachers and self.distils_in_step:
            last = DistillationModel(
                self.core, self.teachers, temperature=config.distil_temperature, weight=config.distil_weight
            )
        layers = [] if config.distil_views else augmentation(config.augment, config.seed)
        self.model = keras.Sequential([keras.Input(self.core.input_shape[1:], dtype="uint8"), *layers, last])
        self.kept = _build(config, labels, "float32", start)

    def start_phase(self, phase: Phase, config: FitConfig, steps: int) -> None:
        """Freeze layers and compile the model with a new optimizer.

        Args:
            phase: Phase to start.
            config: Settings of the run.
            steps: Steps per epoch.
        """
        for network in (self.core, self.kept):
            freeze(network, phase.trainable_layers)
        self.model.compile(
            build_optimizer(config, phase, self.core, steps),
            keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=config.label_smoothing),
            loss_weights=1.0 - config.distil_weight if self.distils_in_step else None,
            metrics=["accuracy"],
        )
        self.model.optimizer.build(self.model.trainable_variables)

    def statistics_samples(self, faces: Faces) -> list[NDArray[np.uint8]]:
        """Return (N, H, W, C) faces for the batch normalization statistics: unmodified, and augmented ones.

        Args:
            faces: Training faces of the epoch.
        """
        images = faces.images[np.random.default_rng(0).permutation(len(faces))[:STATISTICS_FACES]]
        *layers, _ = self.model.layers
        if not layers:
            return [images]
        batches = []
        for first in range(0, len(images), STATISTICS_BATCH):
            augmented: Any = images[first : first + STATISTICS_BATCH]
            for layer in layers:
                augmented = layer(augmented, training=True)
            batches.append(keras.ops.convert_to_numpy(augmented).round().clip(0, 255).astype(np.uint8))
        return [images, np.concatenate(batches)]

    def reset_optimizer(self) -> None:
        """Set the state of the optimizer to that before its first step."""
        for variable in self.model.optimizer.variables:
            variable.assign(keras.ops.zeros_like(variable))


def _build(config: FitConfig, labels: tuple[str, ...], precision: Precision, start: Start | None) -> keras.Model:
    if start:
        return start.build(len(labels), config, precision)
    return build_core(
        config.backbone, len(labels), image_size=config.image_size, width=config.width,
        dropout=config.dropout, precision=precision,
    )  # fmt: skip
