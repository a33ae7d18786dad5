"""Shuffled training batches."""

from __future__ import annotations

import math

import keras
import numpy as np
from numpy.typing import NDArray

from edgeinfer_train.datasets.augment import shuffle_tiles
from edgeinfer_train.datasets.load import Faces
from edgeinfer_train.training.distillation import TeacherViews


class FaceBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """Shuffled training batches with mixup, determined by the seed and the epoch.

    Yields (B, H, W, C) uint8 faces and (B, K) float32 soft labels. With several devices, every batch is complete and
    the remaining faces of an epoch are skipped, because each device needs an equal part.

    Attributes:
        faces: Faces of the current epoch: the training faces, or the current teacher view of them.
    """

    def __init__(
        self,
        faces: Faces,
        *,
        batch_size: int,
        mixup: float,
        seed: int,
        devices: int = 1,
        views: TeacherViews | None = None,
        mirror: bool = False,
        scrambled: float = 0.0,
    ) -> None:
        """Initialize the batches of the first epoch.

        Args:
            faces: Training faces.
            batch_size: Faces per batch.
            mixup: Probability that a batch is blended with itself, 0..1.
            seed: Seed of the order, mixup, mirroring and scrambling.
            devices: Number of devices that share a batch.
            views: Teacher views that replace the faces from the first `start_epoch` on, or None.
            mirror: True to mirror half of the faces. Views are augmented once, so mirroring doubles their variety.
            scrambled: Share of faces that are scrambled and labelled with the mean of all labels, 0..1.
        """
        super().__init__()
        self.faces, self._batch_size, self._mixup, self._seed = faces, batch_size, mixup, seed
        self._count, self._views = len(faces) if devices == 1 else len(faces) // batch_size * batch_size, views
        self._mirror, self._scrambled = mirror, scrambled
        self._mean_label = faces.soft_labels.mean(axis=0)
        self._shuffle(0)

    def start_epoch(self, epoch: int) -> None:
        """Shuffle the faces for an epoch, counted from 0, and select its view."""
        self._shuffle(epoch)
        if self._views:
            self.faces = self._views.for_epoch(epoch)

    def _shuffle(self, epoch: int) -> None:
        self._epoch = epoch
        self._order = np.random.default_rng((self._seed, epoch)).permutation(len(self.faces))[: self._count]

    def __len__(self) -> int:
        return math.ceil(self._count / self._batch_size)

    def __getitem__(self, batch: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Return one batch of the current epoch, by its index."""
        chosen = self._order[batch * self._batch_size : (batch + 1) * self._batch_size]
        images, labels = self.faces.images[chosen], self.faces.soft_labels[chosen]
        random = np.random.default_rng((self._seed, self._epoch, batch))
        if self._mirror:
            mirrored = random.random((len(images), 1, 1, 1)) < 0.5
            images = np.where(mirrored, images[:, :, ::-1], images)
        if self._scrambled:
            for index in np.flatnonzero(random.random(len(images)) < self._scrambled):
                images[index], labels[index] = shuffle_tiles(images[index], random), self._mean_label
        if random.random() >= self._mixup:
            return images, labels
        share = random.beta(0.4, 0.4)
        other = random.permutation(len(images))
        mixed = share * images.astype(np.float32) + (1 - share) * images[other]
        return mixed.round().astype(np.uint8), (share * labels + (1 - share) * labels[other]).astype(np.float32)
