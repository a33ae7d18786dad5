from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgeinfer_train.datasets.load import Faces
from edgeinfer_train.training.batches import FaceBatches


@pytest.fixture
def faces() -> Faces:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (21, 8, 8, 1), dtype=np.uint8)
    labels = np.arange(21) % 3
    return Faces(images, labels, np.eye(3, dtype=np.float32)[labels], tuple(map(str, range(21))))


def test_each_face_is_used_once_without_mixup(faces: Faces) -> None:
    batches = FaceBatches(faces, batch_size=8, mixup=0.0, seed=0)
    images = np.concatenate([batches[i][0] for i in range(len(batches))])
    labels = np.concatenate([batches[i][1] for i in range(len(batches))])
    assert [len(batches[i][0]) for i in range(3)] == [8, 8, 5]
    pairs = {(i.tobytes(), int(label.argmax())) for i, label in zip(images, labels, strict=True)}
    assert pairs == {(i.tobytes(), int(n)) for i, n in zip(faces.images, faces.labels, strict=True)}


def test_mirror_flips_half_of_the_faces(faces: Faces) -> None:
    plain, mirrored = (FaceBatches(faces, batch_size=8, mixup=0.0, seed=0, mirror=mirror) for mirror in (False, True))
    same = 0
    for number in range(len(plain)):
        (seen, labels), (images, others) = plain[number], mirrored[number]
        assert (labels == others).all()
        for face, image in zip(seen, images, strict=True):
            assert (image == face).all() or (image == face[:, ::-1]).all()
            same += (image == face).all()
    assert 0 < same < len(faces)


def test_epoch_does_not_depend_on_previous_epochs(faces: Faces) -> None:
    uninterrupted, resumed = (FaceBatches(faces, batch_size=8, mixup=0.5, seed=4) for _ in range(2))
    for epoch in range(3):
        uninterrupted.start_epoch(epoch)
        _ = uninterrupted[0]
    resumed.start_epoch(2)
    for batch in range(3):
        for left, right in zip(uninterrupted[batch], resumed[batch], strict=True):
            np.testing.assert_array_equal(left, right)


def test_epochs_and_seeds_change_the_order(faces: Faces) -> None:
    first, other = (FaceBatches(faces, batch_size=21, mixup=0.0, seed=seed) for seed in (0, 1))
    before = first[0][0]
    assert (before != other[0][0]).any()
    first.start_epoch(1)
    assert (before != first[0][0]).any()


def test_scrambled_faces_have_the_mean_label(faces: Faces) -> None:
    batches = FaceBatches(faces, batch_size=21, mixup=0.0, seed=0, scrambled=0.5)
    images, labels = batches[0]
    mean = faces.soft_labels.mean(axis=0)
    has_mean_label = np.array([np.allclose(label, mean) for label in labels])
    unscrambled = {face.tobytes() for face in faces.images}
    assert 0 < has_mean_label.sum() < 21
    assert [image.tobytes() in unscrambled for image in images] == (~has_mean_label).tolist()
    assert faces.soft_labels.max() == 1  # the faces themselves are unchanged


def test_epoch_uses_its_view(faces: Faces) -> None:
    views: Any = SimpleNamespace(for_epoch=lambda epoch: replace(faces, images=faces.images // (epoch + 2)))
    batches = FaceBatches(faces, batch_size=len(faces), mixup=0.0, seed=0, views=views)
    np.testing.assert_array_equal(batches.faces.images, faces.images)
    for epoch in range(2):
        batches.start_epoch(epoch)
        np.testing.assert_array_equal(batches.faces.images, faces.images // (epoch + 2))
        assert int(batches[0][0].sum()) == int((faces.images // (epoch + 2)).sum())


def test_mixup_keeps_label_sums_and_dtypes(faces: Faces) -> None:
    images, labels = FaceBatches(faces, batch_size=21, mixup=1.0, seed=0)[0]
    assert images.dtype == np.uint8
    assert labels.dtype == np.float32
    np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-6)
    assert (labels.max(axis=1) < 0.999).any()


def test_several_devices_get_equal_parts_of_complete_batches(faces: Faces) -> None:
    for devices, sizes in ((1, [8, 8, 5]), (4, [8, 8])):
        batches = FaceBatches(faces, batch_size=8, mixup=0.0, seed=0, devices=devices)
        assert [len(batches[n][0]) for n in range(len(batches))] == sizes
