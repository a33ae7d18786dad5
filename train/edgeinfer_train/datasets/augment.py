"""Variation of training faces, as Keras layers that stay outside the saved model.

Every layer works on whole batches with `keras.ops` alone, draws anew per image, and does nothing outside
training. Values are grey levels or channels in 0..255.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from edgeinfer_train.config import AugmentConfig

SMALLER = (2 / 3, 1 / 2, 1 / 3, 1 / 4)
"""Sides that a far face is reduced to before it is enlarged again, as shares of the network's input."""


def augmentation(config: AugmentConfig, seed: int) -> list[keras.layers.Layer]:
    """The layers that a config asks for, in the order in which a camera would meet them."""
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
        RandomPatch(probability=config.erasing, seed=seed + 3),
    ]


class _Random(keras.layers.Layer):  # type: ignore[misc]
    """A layer with its own seeded source, in float32 whatever the policy of the model."""

    def __init__(self, seed: int) -> None:
        super().__init__(dtype="float32", autocast=False)
        self.seeds = keras.random.SeedGenerator(seed)

    def uniform(self, shape: tuple[Any, ...], low: float, high: float) -> Any:
        """Independent draws between two bounds."""
        return keras.random.uniform(shape, low, high, seed=self.seeds)

    def call(self, images: Any, training: bool = False) -> Any:
        """Vary (B, H, W, C) images in training; pass them on as float32 otherwise."""
        images = ops.cast(images, "float32")
        return self.vary(images) if training else images

    def vary(self, images: Any) -> Any:
        """The variation itself; (B, H, W, C) float32 in and out."""
        raise NotImplementedError


class RandomAffine(_Random):
    """Rotation, zoom, shift, shear and mirror in one resampling, so that faces are blurred once only."""

    def __init__(self, *, rotation: float, zoom: float, shift: float, shear: float, flip: bool, seed: int) -> None:
        super().__init__(seed)
        self.rotation, self.zoom, self.shift, self.shear, self.flip = (
            math.radians(rotation),
            zoom,
            shift,
            shear,
            flip,
        )

    def vary(self, images: Any) -> Any:
        """Map every output pixel through the inverse transform about the image centre; edges repeat."""
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
    """A face far away, a lens slightly out of focus and a sensor short of light."""

    def __init__(self, *, small: float, blur: float, noise: float, seed: int) -> None:
        super().__init__(seed)
        self.small, self.blur, self.noise = small, blur, noise

    def vary(self, images: Any) -> Any:
        """Take away detail, blend with the 3x3 mean by a random share, add Gaussian noise of a random strength."""
        each = (ops.shape(images)[0], 1, 1, 1)
        if self.small:
            draw = self.uniform(each, 0.0, 1.0)
            size = images.shape[1:3]
            for number, share in enumerate(SMALLER):
                reduced = ops.image.resize(images, [max(1, round(side * share)) for side in size], antialias=True)
                chosen = ops.logical_and(
                    draw >= self.small * number / len(SMALLER), draw < self.small * (number + 1) / len(SMALLER)
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
    """Brightness, contrast and too little light."""

    def __init__(self, *, brightness: float, contrast: float, low_light: float, seed: int) -> None:
        super().__init__(seed)
        self.brightness, self.contrast, self.low_light = brightness, contrast, low_light

    def vary(self, images: Any) -> Any:
        """Darken by a gamma curve, stretch around the image mean, add an offset, clip to 0..255."""
        each = (ops.shape(images)[0], 1, 1, 1)
        if self.low_light:
            gamma = self.uniform(each, 1.0, 1.0 + self.low_light)
            images = 255.0 * (ops.clip(images, 0.0, 255.0) / 255.0) ** gamma
        mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
        gain = self.uniform(each, 1.0 - self.contrast, 1.0 + self.contrast)
        offset = self.uniform(each, -255.0 * self.brightness, 255.0 * self.brightness)
        return ops.clip((images - mean) * gain + mean + offset, 0.0, 255.0)


class RandomPatch(_Random):
    """Random erasing (Zhong et al. 2020, arXiv:1708.04896): a rectangle of the face takes one grey level."""

    def __init__(self, *, probability: float, seed: int) -> None:
        super().__init__(seed)
        self.probability = probability

    def vary(self, images: Any) -> Any:
        """Hide a rectangle whose sides are 15 to 45 % of the image's, in a share of the images."""
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


def scramble(face: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Cut a face into 2x2 to 6x6 tiles that change places, (H, W, C) uint8; what the tiles leave over stays."""
    parts = int(random.choice((2, 3, 4, 6)))
    high, wide = face.shape[0] // parts, face.shape[1] // parts
    tiles = [face[y * high : (y + 1) * high, x * wide : (x + 1) * wide] for y in range(parts) for x in range(parts)]
    # Every tile moves by the same number of places in a random order, so none stays where it was.
    order = random.permutation(len(tiles))
    mixed = face.copy()
    for place, tile in zip(order, np.roll(order, 1), strict=True):
        y, x = divmod(int(place), parts)
        mixed[y * high : (y + 1) * high, x * wide : (x + 1) * wide] = tiles[tile]
    return mixed
