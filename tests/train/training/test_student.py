"""Networks of a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgeinfer_train.config import FitConfig
from edgeinfer_train.datasets.load import Faces
from edgeinfer_train.training.student import Student

from ..conftest import NO_AUGMENTATION

LABELS = ("neutral", "happy")


def test_statistics_are_estimated_on_unmodified_and_augmented_faces(
    toy_config: FitConfig, grey_faces: NDArray[np.uint8]
) -> None:
    images = np.repeat(grey_faces, 20, axis=0)
    faces = Faces(images, np.zeros(len(images), np.int64), np.eye(2, dtype=np.float32)[[0] * len(images)], ("",) * 120)
    config = replace(toy_config, image_size=48, augment=replace(NO_AUGMENTATION, brightness=0.5))
    plain, augmented = Student(config, LABELS, load_weights=False).statistics_samples(faces)
    assert plain.shape == augmented.shape == images.shape
    assert augmented.dtype == np.uint8
    np.testing.assert_array_equal(np.sort(plain, axis=None), np.sort(images, axis=None))
    shifts = (augmented.astype(int) - plain).mean(axis=(1, 2, 3))
    assert shifts.max() > 50
    assert shifts.min() < -50
