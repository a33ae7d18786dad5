"""Knowledge distillation: training on the predictions of teacher networks (Hinton et al. 2015, arXiv:1503.02531)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from edgeinfer.errors import ModelError
from edgeinfer.system.files import replacing
from edgeinfer_train.config import FitConfig, Precision
from edgeinfer_train.datasets.augment import augmentation
from edgeinfer_train.datasets.load import Faces
from edgeinfer_train.errors import DataError
from edgeinfer_train.networks.model import MODEL_FILE, ModelInfo, load_model, with_precision


class Teachers:
    """Trained networks with averaged predictions.

    This is deliberately not a Keras layer: the weights of a layer would be saved with the training state.
    """

    def __init__(self, paths: Sequence[str], labels: tuple[str, ...], precision: Precision = "float32") -> None:
        """Load all teachers.

        Args:
            paths: Run folders or `.keras` files.
            labels: Labels of the data.
            precision: Dtype policy of the teachers.

        Raises:
            ModelNotFoundError: A file does not exist.
            ModelError: A file was not written by this package, or is an `.onnx` file.
            DataError: The labels of a teacher differ from those of the data.
        """
        networks = [with_precision(_teacher_of(Path(path), labels), precision) for path in paths]
        # Submodels of one model need unique names.
        self._networks = [keras.Model(n.input, n.output, name=f"teacher_{i}") for i, n in enumerate(networks)]

    def __call__(self, images: Any, temperature: float) -> Any:
        """Return the averaged probabilities of all teachers, each at its own input size.

        Args:
            images: (B, H, W, 1) float32 in 0..255.
            temperature: Divisor of the logits.

        Returns:
            (B, K) float32 probabilities without gradient.
        """
        probabilities = []
        for network in self._networks:
            size = network.input_shape[1:3]
            resized = images if images.shape[1:3] == size else ops.image.resize(images, size, antialias=True)
            probabilities.append(ops.softmax(network(resized, training=False) / temperature))
        return ops.stop_gradient(sum(probabilities) / len(probabilities))


class DistillationModel(keras.layers.Layer):  # type: ignore[misc]
    """Network with an additional distillation loss in training; its logits are unchanged.

    The additional loss is `weight * temperature**2 * KL(teachers || network)`, with both distributions softened by the
    temperature. The weight of the loss on the labels is set when the model is compiled.
    """

    def __init__(self, core: keras.Model, teachers: Teachers, *, temperature: float, weight: float) -> None:
        super().__init__(dtype="float32", autocast=False)
        self.core = core
        self._teachers, self._temperature, self._weight = teachers, temperature, weight

    def call(self, images: Any, training: bool = False) -> Any:
        """Return the (B, K) logits of (B, H, W, 1) augmented faces."""
        logits = self.core(images, training=training)
        if training:
            expected = self._teachers(images, self._temperature)
            predicted = ops.log_softmax(logits / self._temperature)
            divergence = ops.sum(expected * (ops.log(ops.maximum(expected, 1e-7)) - predicted), axis=-1)
            self.add_loss(self._weight * self._temperature**2 * ops.mean(divergence))
        return logits


# Keras builds the paths in a saved training state from class names; this one keeps states from version 0.1 readable.
DistillationModel.__name__ = "Taught"


class TeacherViews:
    """Augmented copies (views) of the training faces with soft labels from the teachers, computed once and reused.

    Large teachers take more time than the network being trained. With a few views per face, they run a few times
    instead of in every epoch. Each view is stored in the run folder as one file of faces and one of soft labels.
    """

    def __init__(self, folder: Path, faces: Faces, teachers: Teachers, config: FitConfig) -> None:
        """Prepare the teachers. Views are computed when they are first used.

        Args:
            folder: Folder of the views; complete views in it are reused.
            faces: Training faces.
            teachers: Teachers, used at temperature 1.
            config: Augmentation, number of views and weight of the teachers relative to the labels.
        """
        self._folder, self._faces, self._config = folder, faces, config
        # Mirroring preserves the expression, and the mean of both predictions is more accurate than either.
        image = keras.Input(faces.images.shape[1:])
        both = teachers(image, 1.0) + teachers(ops.flip(image, axis=2), 1.0)
        self._predictor = keras.Model(image, both / 2)

    def for_epoch(self, epoch: int) -> Faces:
        """Return the view of an epoch, counted from 0. The views repeat in a cycle.

        Raises:
            OSError: A view cannot be written or read.
        """
        number = epoch % self._config.distil_views
        images, labels = (self._folder / f"view-{number:03d}-{part}.npy" for part in ("faces", "labels"))
        if not labels.is_file():  # the labels are written last
            self._create(number, images, labels)
        return dataclasses.replace(self._faces, images=np.load(images, mmap_mode="r"), soft_labels=np.load(labels))

    def _create(self, number: int, images: Path, labels: Path) -> None:
        config, faces = self._config, self._faces
        layers = augmentation(config.augment, config.seed + 1000 * (number + 1))
        augmented, predicted = np.empty_like(faces.images), np.empty_like(faces.soft_labels)
        for start in range(0, len(faces), config.batch_size):
            part = slice(start, start + config.batch_size)
            batch: Any = faces.images[part]
            for layer in layers:
                batch = layer(batch, training=True)
            augmented[part] = np.clip(ops.convert_to_numpy(batch).round(), 0, 255).astype(np.uint8)
            predicted[part] = self._predictor.predict_on_batch(batch)
        blended = (1.0 - config.distil_weight) * faces.soft_labels + config.distil_weight * predicted
        self._folder.mkdir(parents=True, exist_ok=True)
        for path, array in ((images, augmented), (labels, blended.astype(np.float32))):
            with replacing(path) as partial:
                np.save(partial, array)


def _teacher_of(path: Path, labels: tuple[str, ...]) -> keras.Model:
    """Load a teacher and validate its labels."""
    network, info = load_teacher(path)
    if info.labels != labels:
        raise DataError(
            f"the teacher {path} has the labels {' '.join(info.labels)}, but the data have {' '.join(labels)}"
        )
    network.trainable = False
    return network


def load_teacher(path: Path) -> tuple[keras.Model, ModelInfo]:
    """Load the network of a run folder or a `.keras` file.

    Raises:
        ModelNotFoundError: The file does not exist.
        ModelError: The file was not written by this package, or is an `.onnx` file.
    """
    if path.suffix.lower() == ".onnx":
        raise ModelError(
            f"{path} cannot be used as a teacher: expected a run folder or a .keras file, not an .onnx file"
        )
    return load_model(path / MODEL_FILE if path.is_dir() else path)
