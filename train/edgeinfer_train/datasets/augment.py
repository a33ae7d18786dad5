"""Augmentation of training faces, as Keras layers that are not part of the saved model.

Each layer processes whole batches with `keras.ops` only, draws its parameters per image, and is the identity outside
training. Values are grey levels or channel values in 0..255.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from edgeinfer_train.augmentation import AugmentConfig

REDUCED_SIDES = (2 / 3, 1 / 2, 1 / 3, 1 / 4)
"""Sides to which a distant face is reduced before it is enlarged again, as shares of the network's input size."""
PHOTONS = (8.0, 256.0)
"""Range of the photons that a white pixel receives in a dark scene."""
MAX_IMPULSES = 0.1
"""Maximum share of defective pixels."""


def augmentation(config: AugmentConfig, seed: int) -> list[keras.layers.Layer]:
    """Build the augmentation layers, ordered as in a camera: geometry, optics, light, sensor, occlusion."""
    return [
        RandomAffine(
            rotation=config.rotation,
            zoom=config.zoom,
            shift=config.shift,
            shear=config.shear,
            flip=config.flip,
            seed=seed,
        ),
        RandomSoftness(small=config.small, blur=config.blur, noise=config.noise, seed=seed + 1),
        RandomLight(brightness=config.brightness, contrast=config.contrast, low_light=config.low_light, seed=seed + 2),
        RandomSensor(grain=config.grain, impulses=config.impulses, seed=seed + 4),
        RandomPatch(probability=config.erasing, seed=seed + 3),
    ]


class _Random(keras.layers.Layer):  # type: ignore[misc]
    """Layer with its own seed generator that computes in float32 under any dtype policy."""

    def __init__(self, seed: int) -> None:
        super().__init__(dtype="float32", autocast=False)
        self.seeds = keras.random.SeedGenerator(seed)

    def uniform(self, shape: tuple[Any, ...], low: float, high: float) -> Any:
        """Draw independent values between two bounds."""
        return keras.random.uniform(shape, low, high, seed=self.seeds)

    def call(self, images: Any, training: bool = False) -> Any:
        """Augment (B, H, W, C) images in training; otherwise only convert them to float32."""
        images = ops.cast(images, "float32")
        return self.augment(images) if training else images

    def augment(self, images: Any) -> Any:
        """Return the augmented (B, H, W, C) float32 images."""
        raise NotImplementedError


class RandomAffine(_Random):
    """Rotation, zoom, shift, shear and mirroring in one resampling step, so that interpolation blurs only once."""

    def __init__(self, *, rotation: float, zoom: float, shift: float, shear: float, flip: bool, seed: int) -> None:
        super().__init__(seed)
        self.rotation, self.zoom, self.shift, self.shear, self.flip = (
            math.radians(rotation),
            zoom,
            shift,
            shear,
            flip,
        )

    def augment(self, images: Any) -> Any:
        """Map each output pixel through the inverse transform around the image centre; edge pixels are repeated."""
        batch, height, width = ops.shape(images)[0], images.shape[1], images.shape[2]
        draw = (batch,)
        angle = self.uniform(draw, -self.rotation, self.rotation)
        scale_x, scale_y = (1.0 + self.uniform(draw, -self.zoom, self.zoom) for _ in range(2))
        shear = self.uniform(draw, -self.shear, self.shear)
        move_x = self.uniform(draw, -self.shift, self.shift) * width
        move_y = self.uniform(draw, -self.shift, self.shift) * height
        mirror = ops.sign(self.uniform(draw, -1.0, 1.0)) if self.flip else ops.ones(draw)
        a, b = mirror * ops.cos(angle) / scale_x, mirror * (shear - ops.sin(angle)) / scale_y
        c, d = ops.sin(angle) / scale_x, ops.cos(angle) / scale_y
        centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
        offset_x = centre_x + move_x - a * centre_x - b * centre_y
        offset_y = centre_y + move_y - c * centre_x - d * centre_y
        zeros = ops.zeros(draw)
        transform = ops.stack([a, b, offset_x, c, d, offset_y, zeros, zeros], axis=1)
        return ops.image.affine_transform(images, transform, interpolation="bilinear", fill_mode="nearest")


class RandomSoftness(_Random):
    """Loss of detail: distant faces, defocus blur and sensor noise."""

    def __init__(self, *, small: float, blur: float, noise: float, seed: int) -> None:
        super().__init__(seed)
        self.small, self.blur, self.noise = small, blur, noise

    def augment(self, images: Any) -> Any:
        """Reduce the resolution, blend with the 3x3 mean, and add Gaussian noise, each at a random strength."""
        each = (ops.shape(images)[0], 1, 1, 1)
        if self.small:
            draw = self.uniform(each, 0.0, 1.0)
            size = images.shape[1:3]
            for number, share in enumerate(REDUCED_SIDES):
                reduced = ops.image.resize(images, [max(1, round(side * share)) for side in size], antialias=True)
                chosen = ops.logical_and(
                    draw >= self.small * number / len(REDUCED_SIDES),
                    draw < self.small * (number + 1) / len(REDUCED_SIDES),
                )
                images = ops.where(chosen, ops.image.resize(reduced, size), images)
        if self.blur:
            soft = ops.average_pool(images, 3, strides=1, padding="same")
            images = images + self.uniform(each, 0.0, self.blur) * (soft - images)
        if self.noise:
            strength = self.uniform(each, 0.0, 255.0 * self.noise)
            images = images + strength * keras.random.normal(ops.shape(images), seed=self.seeds)
        return images


class RandomLight(_Random):
    """Brightness, contrast and low light."""

    def __init__(self, *, brightness: float, contrast: float, low_light: float, seed: int) -> None:
        super().__init__(seed)
        self.brightness, self.contrast, self.low_light = brightness, contrast, low_light

    def augment(self, images: Any) -> Any:
        """Apply a darkening gamma curve, scale the contrast around the mean, add an offset, and clip to 0..255."""
        each = (ops.shape(images)[0], 1, 1, 1)
        if self.low_light:
            gamma = self.uniform(each, 1.0, 1.0 + self.low_light)
            images = 255.0 * (ops.clip(images, 0.0, 255.0) / 255.0) ** gamma
        mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
        gain = self.uniform(each, 1.0 - self.contrast, 1.0 + self.contrast)
        offset = self.uniform(each, -255.0 * self.brightness, 255.0 * self.brightness)
        return ops.clip((images - mean) * gain + mean + offset, 0.0, 255.0)


class RandomSensor(_Random):
    """Noise of a sensor in the dark, which grows with the root of the signal, and defective pixels."""

    def __init__(self, *, grain: float, impulses: float, seed: int) -> None:
        super().__init__(seed)
        self.grain, self.impulses = grain, impulses

    def augment(self, images: Any) -> Any:
        """Add the noise of 8 to 256 photons per white pixel, and set pixels to 0 or 255, each in a share of images."""
        each, shape = (ops.shape(images)[0], 1, 1, 1), ops.shape(images)
        if self.grain:
            photons = ops.exp(self.uniform(each, *(math.log(count) for count in PHOTONS)))
            deviation = ops.sqrt(255.0 * ops.maximum(images, 0.0) / photons)  # normal approximation of Poisson
            noisy = ops.clip(images + deviation * keras.random.normal(shape, seed=self.seeds), 0.0, 255.0)
            images = ops.where(self.uniform(each, 0.0, 1.0) < self.grain, noisy, images)
        if self.impulses:
            share = self.uniform(each, 0.0, MAX_IMPULSES)
            hit = ops.logical_and(self.uniform(shape, 0.0, 1.0) < share, self.uniform(each, 0.0, 1.0) < self.impulses)
            images = ops.where(hit, 255.0 * ops.cast(self.uniform(shape, 0.0, 1.0) < 0.5, "float32"), images)
        return images


class RandomPatch(_Random):
    """Random erasing (Zhong et al. 2020, arXiv:1708.04896): a rectangle is filled with one grey level."""

    def __init__(self, *, probability: float, seed: int) -> None:
        super().__init__(seed)
        self.probability = probability

    def augment(self, images: Any) -> Any:
        """Fill a rectangle, 15 to 45 % of the image side in size, in a share of the images."""
        batch, height, width = ops.shape(images)[0], images.shape[1], images.shape[2]
        each = (batch, 1, 1)
        half_h, half_w = (self.uniform(each, 0.075, 0.225) for _ in range(2))
        rows = ops.reshape(ops.arange(height, dtype="float32") / height, (1, height, 1))
        columns = ops.reshape(ops.arange(width, dtype="float32") / width, (1, 1, width))
        inside = ops.logical_and(
            ops.abs(rows - self.uniform(each, 0.0, 1.0)) < half_h,
            ops.abs(columns - self.uniform(each, 0.0, 1.0)) < half_w,
        )
        chosen = ops.logical_and(inside, self.uniform(each, 0.0, 1.0) < self.probability)
        level = self.uniform((batch, 1, 1, 1), 0.0, 255.0)
        return ops.where(ops.expand_dims(chosen, -1), level, images)


def shuffle_tiles(face: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Cut a face into 2x2 to 6x6 tiles and shuffle them; pixels outside the tile grid are unchanged.

    Args:
        face: (H, W, C) uint8.
        random: Source of the grid size and the order.

    Returns:
        (H, W, C) uint8.
    """
    parts = int(random.choice((2, 3, 4, 6)))
    height, width = face.shape[0] // parts, face.shape[1] // parts
    tiles = [
        face[y * height : (y + 1) * height, x * width : (x + 1) * width] for y in range(parts) for x in range(parts)
    ]
    # A cyclic shift along a random order moves every tile.
    order = random.permutation(len(tiles))
    shuffled = face.copy()
    for place, tile in zip(order, np.roll(order, 1), strict=True):
        y, x = divmod(int(place), parts)
        shuffled[y * height : (y + 1) * height, x * width : (x + 1) * width] = tiles[tile]
    return shuffled
