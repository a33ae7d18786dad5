"""Edge networks: small residual networks for faces of 48 to 64 pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import layers

EDGE_IMAGE_SIZE, EDGE_MIN_IMAGE_SIZE = 48, 32
STEM_CHANNELS = 16
STAGES = ((32, 1), (64, 2), (128, 2))
"""(channels, residual blocks) of each stage at width 1; the first block of a stage has a stride of 2."""


def edgenet(image: Any, width: float) -> Any:
    """Build the features of `edgenet`, with plain 3x3 convolutions.

    Args:
        image: (B, S, S, 1) uint8 tensor.
        width: Channel multiplier; channel counts are rounded to multiples of 8.

    Returns:
        (B, F) feature vectors.
    """
    return _residual_network(image, width, _conv)


def edgenet_sep(image: Any, width: float) -> Any:
    """Build the features of `edgenet-sep`, with depthwise separable convolutions; see `edgenet`."""
    return _residual_network(image, width, _separable_conv)


def _residual_network(image: Any, width: float, convolution: Callable[..., Any]) -> Any:
    """Build a residual network after He et al. 2016 (arXiv:1512.03385).

    It uses ReLU and no attention, so that batch normalization folds into the convolutions and quantization to int8
    does not reduce accuracy.
    """

    def scaled(channels: int) -> int:
        return max(8, round(channels * width / 8) * 8)

    # Normalizing each face to zero mean and unit variance removes global brightness and contrast.
    x = layers.Rescaling(1 / 255, name="scale")(image)
    x = layers.LayerNormalization(axis=(1, 2, 3), epsilon=1e-3, center=False, scale=False, name="light")(x)
    x = _conv(x, scaled(STEM_CHANNELS))
    for channels, blocks in STAGES:
        for block in range(blocks):
            x = _residual_block(x, scaled(channels), 2 if block == 0 else 1, convolution)
    return layers.GlobalAveragePooling2D()(x)


def _conv(x: Any, channels: int, kernel: int = 3, stride: int = 1, relu: bool = True) -> Any:
    x = layers.Conv2D(channels, kernel, strides=stride, padding="same", use_bias=False, kernel_initializer="he_normal")(
        x
    )
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
    return layers.ReLU()(x) if relu else x


def _separable_conv(x: Any, channels: int, stride: int = 1, relu: bool = True) -> Any:
    x = layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False, depthwise_initializer="he_normal")(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
    return _conv(layers.ReLU()(x), channels, kernel=1, relu=relu)


def _residual_block(x: Any, channels: int, stride: int, convolution: Callable[..., Any]) -> Any:
    y = convolution(convolution(x, channels, stride=stride), channels, relu=False)
    if stride > 1 or x.shape[-1] != channels:
        if stride > 1 and x.shape[-1] == 8:
            # oneDNN in TensorFlow 2.21 writes out of bounds in the float32 gradient of a strided 1x1 convolution
            # over 8 channels of 56 to 80 pixels. Subsampling before the convolution is equivalent.
            x, stride = layers.MaxPooling2D(1, strides=stride, padding="same")(x), 1
        x = _conv(x, channels, kernel=1, stride=stride, relu=False)
    return layers.ReLU()(layers.Add()([x, y]))
