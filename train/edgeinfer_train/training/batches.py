"""Shuffled training batches."""

from __future__ import annotations

import math

import keras
import numpy as np
from numpy.typing import NDArray

from edgeinfer_train.datasets.augment import scramble
from edgeinfer_train.datasets.load import Faces
from edgeinfer_train.training.distillation import Views


class FaceBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """Shuffled training batches with mixup, the same for the same seed and epoch.

    Gives (B, H, W, C) uint8 faces and (B, K) float32 soft labels. Several devices take equal parts of whole
    batches, so the few faces over are left to another epoch.

    Attributes:
        faces: those of this epoch, or the view of them that stands in.
    """

    def __init__(
        self,
        faces: Faces,
        *,
        batch_size: int,
        mixup: float,
        seed: int,
        devices: int = 1,
        views: Views | None = None,
        mirror: bool = False,
        scrambled: float = 0.0,
    ) -> None:
        """Take the faces, or the views that stand in for them.

        Args:
            faces: those that are trained on.
            batch_size: faces of a batch.
            mixup: probability that a batch is blended with itself.
            seed: of the order, mixup and mirroring.
            devices: that share a batch.
            views: what each epoch takes in place of the faces.
            mirror: mirror half of the faces. Views are mirrored again, which makes two out of each.
            scrambled: share of faces that are scrambled and taught the mean of all labels.
        """
        super().__init__()
        self.faces, self._batch_size, self._mixup, self._seed = faces, batch_size, mixup, seed
        self._count, self._views = len(faces) if devices == 1 else len(faces) // batch_size * batch_size, views
        self._mirror, self._scrambled = mirror, scrambled
        self._doubt = faces.soft_labels.mean(axis=0)
        self._draw(0)

    def start_epoch(self, epoch: int) -> None:
        """Draw the order of an epoch, counted from 0, and take its view of the faces."""
        self._draw(epoch)
        if self._views:
            self.faces = self._views.of_epoch(epoch)

    def _draw(self, epoch: int) -> None:
        self._epoch = epoch
        self._order = np.random.default_rng((self._seed, epoch)).permutation(len(self.faces))[: self._count]

    def __len__(self) -> int:
        return math.ceil(self._count / self._batch_size)

    def __getitem__(self, batch: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Batch number `batch` of this epoch."""
        chosen = self._order[batch * self._batch_size : (batch + 1) * self._batch_size]
        images, labels = self.faces.images[chosen], self.faces.soft_labels[chosen]
        random = np.random.default_rng((self._seed, self._epoch, batch))
        if self._mirror:
            mirrored = random.random((len(images), 1, 1, 1)) < 0.5
            images = np.where(mirrored, images[:, :, ::-1], images)
        if self._scrambled:
            for number in np.flatnonzero(random.random(len(images)) < self._scrambled):
                images[number], labels[number] = scramble(images[number], random), self._doubt
        if random.random() >= self._mixup:
            return images, labels
        share = random.beta(0.4, 0.4)
        other = random.permutation(len(images))
        mixed = share * images.astype(np.float32) + (1 - share) * images[other]
        return mixed.round().astype(np.uint8), (share * labels + (1 - share) * labels[other]).astype(np.float32)
