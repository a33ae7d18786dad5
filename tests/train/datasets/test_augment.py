from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import ops
from numpy.typing import NDArray

from edgeinfer_train.augmentation import AugmentConfig
from edgeinfer_train.datasets.augment import (
    RandomAffine,
    RandomLight,
    RandomPatch,
    RandomSensor,
    RandomSoftness,
    augmentation,
)

from ..conftest import NO_AUGMENTATION

Faces = NDArray[np.uint8]
LAYERS: dict[str, Callable[[int], keras.layers.Layer]] = {
    "affine": lambda seed: RandomAffine(rotation=20.0, zoom=0.15, shift=0.1, shear=0.05, flip=True, seed=seed),
    "softness": lambda seed: RandomSoftness(small=0.3, blur=0.5, noise=0.02, seed=seed),
    "light": lambda seed: RandomLight(brightness=0.2, contrast=0.4, low_light=0.0, seed=seed),
    "low light": lambda seed: RandomLight(brightness=0.0, contrast=0.0, low_light=2.0, seed=seed),
    "sensor": lambda seed: RandomSensor(grain=1.0, impulses=1.0, seed=seed),
    "patch": lambda seed: RandomPatch(probability=1.0, seed=seed),
}
each_layer = pytest.mark.parametrize("make_layer", LAYERS.values(), ids=LAYERS.keys())


def augment(layer: keras.layers.Layer, images: Faces, *, training: bool = True) -> NDArray[np.float32]:
    found: NDArray[np.float32] = ops.convert_to_numpy(layer(images, training=training))
    return found


@each_layer
def test_layers_are_the_identity_outside_training(
    make_layer: Callable[[int], keras.layers.Layer], grey_faces: Faces
) -> None:
    np.testing.assert_array_equal(augment(make_layer(0), grey_faces, training=False), grey_faces)


@each_layer
def test_each_face_is_augmented_independently(
    make_layer: Callable[[int], keras.layers.Layer], grey_faces: Faces
) -> None:
    same = np.repeat(grey_faces[:1], 6, axis=0)
    found = augment(make_layer(0), same)
    assert found.shape == same.shape
    assert found.dtype == np.float32
    assert all(np.abs(a - same[0]).max() > 1 for a in found)
    assert np.abs(found[0] - found[1]).max() > 1


@each_layer
def test_seed_determines_the_result(make_layer: Callable[[int], keras.layers.Layer], grey_faces: Faces) -> None:
    first, again, other = (augment(make_layer(seed), grey_faces) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1


@each_layer
def test_each_call_draws_new_parameters(make_layer: Callable[[int], keras.layers.Layer], grey_faces: Faces) -> None:
    layer = make_layer(0)
    assert np.abs(augment(layer, grey_faces) - augment(layer, grey_faces)).max() > 1


def test_augmentation_stays_in_range(grey_faces: Faces) -> None:
    images = np.concatenate([grey_faces, np.zeros_like(grey_faces), np.full_like(grey_faces, 255)])
    for layer in augmentation(AugmentConfig(), seed=0):
        images = layer(images, training=True)
    found = ops.convert_to_numpy(images)
    assert found.min() >= 0
    assert found.max() <= 255
    assert np.isfinite(found).all()


def test_disabled_augmentation_changes_nothing(grey_faces: Faces) -> None:
    images = grey_faces
    for layer in augmentation(NO_AUGMENTATION, seed=0):
        images = layer(images, training=True)
    np.testing.assert_allclose(ops.convert_to_numpy(images), grey_faces, atol=1e-3)


def affine(config: AugmentConfig) -> RandomAffine:
    layer = augmentation(config, seed=3)[0]
    assert isinstance(layer, RandomAffine)
    return layer


def test_flip_mirrors_half_of_the_faces(grey_faces: Faces) -> None:
    images = np.repeat(grey_faces[:1], 40, axis=0)
    found = augment(affine(replace(NO_AUGMENTATION, flip=True)), images)
    mirrored = [np.abs(a - images[0, :, ::-1]).max() < 1e-2 for a in found]
    kept = [np.abs(a - images[0]).max() < 1e-2 for a in found]
    assert all(m != k for m, k in zip(mirrored, kept, strict=True))
    assert 8 <= sum(mirrored) <= 32


def test_shift_moves_along_both_axes_within_bounds(grey_faces: Faces) -> None:
    """Measure the shift of each face by the centroid of a bright square."""
    images = np.zeros((32, 48, 48, 1), np.uint8)
    images[:, 22:26, 20:24] = 200
    found = augment(affine(replace(NO_AUGMENTATION, shift=0.25)), images)[..., 0]
    rows, columns = np.mgrid[0:48, 0:48]
    weights = found.sum(axis=(1, 2))
    moved_y = (found * rows).sum(axis=(1, 2)) / weights - 23.5
    moved_x = (found * columns).sum(axis=(1, 2)) / weights - 21.5
    for moved in (moved_x, moved_y):
        assert moved.min() < -4
        assert moved.max() > 4
        assert np.abs(moved).max() <= 12.05
    np.testing.assert_allclose(weights, 200 * 16, rtol=1e-3)


def test_rotation_is_around_the_centre() -> None:
    """Check that a bar through the centre keeps its centroid, and that its angle stays within the limit."""
    images = np.zeros((16, 49, 49, 1), np.uint8)
    images[:, 24, 8:41] = 255
    found = augment(affine(replace(NO_AUGMENTATION, rotation=30.0)), images)[..., 0].astype(float)
    rows, columns = (grid - 24.0 for grid in np.mgrid[0:49, 0:49])
    xx, yy, xy = ((found * v).sum(axis=(1, 2)) for v in (columns**2, rows**2, rows * columns))
    angles = np.degrees(0.5 * np.arctan2(2 * xy, xx - yy))
    assert np.abs(angles).max() <= 30.5
    assert angles.min() < -8
    assert angles.max() > 8
    assert np.abs((found * rows).sum(axis=(1, 2)) / found.sum(axis=(1, 2))).max() < 0.3


def test_reduced_face_keeps_only_low_frequencies() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 48, 48, 1), np.uint8)
    found = augment(RandomSoftness(small=0.5, blur=0.0, noise=0.0, seed=0), noise)
    reduced = np.array([np.abs(after - before).max() > 1e-3 for before, after in zip(noise, found, strict=True)])
    assert 8 <= reduced.sum() <= 32
    coarse = (-1, 4, 12, 4, 12)
    np.testing.assert_allclose(
        found.reshape(coarse).mean(axis=(2, 4)), noise.reshape(coarse).mean(axis=(2, 4)), atol=25
    )
    spread = found[reduced].std(axis=(1, 2, 3))
    assert spread.max() < 0.75 * noise.std()
    assert np.ptp(spread) > 5  # from a quarter of the side to two thirds of it


def test_grain_grows_with_the_root_of_the_signal() -> None:
    levels = np.repeat(np.array([25, 100], np.uint8), 24 * 48).reshape(1, 48, 48, 1)
    faces = np.repeat(levels, 40, axis=0)
    found = augment(RandomSensor(grain=0.5, impulses=0.0, seed=0), faces)
    noisy = np.array([np.abs(after - before).max() > 1e-3 for before, after in zip(faces, found, strict=True)])
    assert 10 <= noisy.sum() <= 30
    dark, bright = found[noisy][:, :24].std(axis=(1, 2, 3)), found[noisy][:, 24:].std(axis=(1, 2, 3))
    # Strong noise is cut off at 0, which narrows that of the dark half.
    np.testing.assert_allclose(np.median(bright / dark), 2.0, atol=0.25)
    assert bright.min() < 15
    assert bright.max() > 30


def test_impulses_are_black_and_white_pixels(grey_faces: Faces) -> None:
    faces = np.repeat(grey_faces.clip(1, 254), 10, axis=0)
    found = augment(RandomSensor(grain=0.0, impulses=0.5, seed=0), faces)
    changed = found != faces
    shares = changed.mean(axis=(1, 2, 3))
    assert 15 <= (shares > 0).sum() <= 45
    assert 0.05 < shares.max() <= 0.12
    assert set(found[changed].tolist()) == {0.0, 255.0}


def test_erased_patch_has_one_grey_level(grey_faces: Faces) -> None:
    found = augment(RandomPatch(probability=1.0, seed=0), grey_faces)
    for before, after in zip(grey_faces, found, strict=True):
        hidden = after != before
        assert 0 < hidden.mean() <= 0.25
        assert np.unique(after[hidden]).size == 1


def test_brightness_adds_one_offset_per_face(grey_faces: Faces) -> None:
    images = grey_faces // 2 + 64  # far from both ends of the range
    added = augment(RandomLight(brightness=0.1, contrast=0.0, low_light=0.0, seed=0), images) - images.astype(
        np.float32
    )
    assert np.ptp(added, axis=(1, 2, 3)).max() < 1e-3
    assert 5 < np.abs(added).max() <= 25.6


def test_low_light_darkens_monotonically(grey_faces: Faces) -> None:
    images = grey_faces.copy()
    images[:, 0, 0], images[:, 0, 1] = 0, 255
    layer = augmentation(replace(NO_AUGMENTATION, low_light=2.0), seed=0)[2]
    found = augment(layer, images)
    assert (found <= images + 1e-3).all()
    assert found.mean() < images.mean() - 5
    np.testing.assert_allclose(found[:, 0, 0], 0, atol=1e-3)
    np.testing.assert_allclose(found[:, 0, 1], 255, atol=1e-3)
    order = images[0].ravel().argsort(kind="stable")
    assert (np.diff(found[0].ravel()[order]) >= -1e-3).all()
