"""Learning from the answers of other networks (Hinton et al. 2015, arXiv:1503.02531)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from edgeinfer.errors import ModelError
from edgeinfer_train.config import FitConfig, Precision
from edgeinfer_train.datasets.augment import augmentation
from edgeinfer_train.datasets.load import Faces
from edgeinfer_train.errors import DataError
from edgeinfer_train.networks.model import MODEL_FILE, in_precision, load_model


class Teachers:
    """Trained networks whose averaged answers are taught.

    It is no Keras layer on purpose: what a layer holds would be saved with every epoch's state.
    """

    def __init__(self, paths: Sequence[str], labels: tuple[str, ...], precision: Precision = "float32") -> None:
        """Load every teacher.

        Args:
            paths: run folders or `.keras` files.
            labels: those of the data.
            precision: dtype policy that they work under.

        Raises:
            ModelNotFoundError: there is no such model.
            ModelError: it is none of ours, or an `.onnx` file.
            DataError: it has other labels than the data.
        """
        networks = [in_precision(_load(Path(path), labels), precision) for path in paths]
        # Each needs a name of its own to be part of one model.
        self._networks = [keras.Model(n.input, n.output, name=f"teacher_{i}") for i, n in enumerate(networks)]

    def __call__(self, images: Any, temperature: float) -> Any:
        """Averaged probabilities at a temperature, each network asked at its own image size.

        Args:
            images: (B, H, W, 1) float32 in 0..255.
            temperature: divides the logits.

        Returns:
            (B, K) float32, out of reach of any gradient.
        """
        answers = []
        for network in self._networks:
            size = network.input_shape[1:3]
            fitting = images if images.shape[1:3] == size else ops.image.resize(images, size, antialias=True)
            answers.append(ops.softmax(network(fitting, training=False) / temperature))
        return ops.stop_gradient(sum(answers) / len(answers))


class Taught(keras.layers.Layer):  # type: ignore[misc]
    """A network that meets its teachers in training: the same logits, and one more loss.

    The loss is `weight * temperature**2 * KL(teachers || network)`, both softened; that on the labels is
    weighted by what compiles the model.
    """

    def __init__(self, core: keras.Model, teachers: Teachers, *, temperature: float, weight: float) -> None:
        super().__init__(dtype="float32", autocast=False)
        self.core = core
        self._teachers, self._temperature, self._weight = teachers, temperature, weight

    def call(self, images: Any, training: bool = False) -> Any:
        """(B, H, W, 1) faces, varied already, to (B, K) logits."""
        logits = self.core(images, training=training)
        if training:
            taught = self._teachers(images, self._temperature)
            learned = ops.log_softmax(logits / self._temperature)
            divergence = ops.sum(taught * (ops.log(ops.maximum(taught, 1e-7)) - learned), axis=-1)
            self.add_loss(self._weight * self._temperature**2 * ops.mean(divergence))
        return logits


class Views:
    """Varied training faces with what the teachers say of them, made once and then learned from again and again.

    Large teachers cost more than the network that they teach; with a few views of each face they are asked a few
    times instead of every epoch. Views are kept beside the run, one file of faces and one of soft labels each.
    """

    def __init__(self, folder: Path, faces: Faces, teachers: Teachers, config: FitConfig) -> None:
        """Make nothing yet.

        Args:
            folder: where views are kept; whole ones that lie there are used.
            faces: those that are trained on.
            teachers: asked at temperature 1.
            config: how faces vary, how many views there are, and how much the teachers count beside the labels.
        """
        self._folder, self._faces, self._config = folder, faces, config
        # A mirrored face shows the same, and the mean of both answers is nearer the truth than either.
        image = keras.Input(faces.images.shape[1:])
        both = teachers(image, 1.0) + teachers(ops.flip(image, axis=2), 1.0)
        self._answers = keras.Model(image, both / 2)

    def of_epoch(self, epoch: int) -> Faces:
        """The faces of an epoch, counted from 0: another view each time, until they come round again.

        Raises:
            OSError: a view cannot be written or read.
        """
        number = epoch % self._config.distil_views
        images, labels = (self._folder / f"view-{number:03d}-{part}.npy" for part in ("faces", "labels"))
        if not labels.is_file():  # written last
            self._make(number, images, labels)
        return dataclasses.replace(self._faces, images=np.load(images, mmap_mode="r"), soft_labels=np.load(labels))

    def _make(self, number: int, images: Path, labels: Path) -> None:
        config, faces = self._config, self._faces
        layers = augmentation(config.augment, config.seed + 1000 * (number + 1))
        varied, taught = np.empty_like(faces.images), np.empty_like(faces.soft_labels)
        for start in range(0, len(faces), config.batch_size):
            part = slice(start, start + config.batch_size)
            batch: Any = faces.images[part]
            for layer in layers:
                batch = layer(batch, training=True)
            varied[part] = np.clip(ops.convert_to_numpy(batch).round(), 0, 255).astype(np.uint8)
            taught[part] = self._answers.predict_on_batch(batch)
        blended = (1.0 - config.distil_weight) * faces.soft_labels + config.distil_weight * taught
        self._folder.mkdir(parents=True, exist_ok=True)
        for path, array in ((images, varied), (labels, blended.astype(np.float32))):
            partial = path.with_name(f".{path.name}")
            np.save(partial, array)
            partial.replace(path)


def _load(path: Path, labels: tuple[str, ...]) -> keras.Model:
    if path.suffix.lower() == ".onnx":
        raise ModelError(f"{path} cannot teach: teachers run inside the training step; give the run or its .keras file")
    network, info = load_model(path / MODEL_FILE if path.is_dir() else path)
    if info.labels != labels:
        raise DataError(f"the teacher {path} tells apart {' '.join(info.labels)}, but the data hold {' '.join(labels)}")
    network.trainable = False
    return network
