"""Residual network of dlib's face recognition (King 2017), whose weights are in the public domain.

The layers are those of `dlib_face_recognition_resnet_model_v1` before its last layer, with batch normalization in the
places of dlib's affine layers and one grey channel. `train/tools/convert_dlib_resnet.py` converts the weights.
"""

from __future__ import annotations

from typing import Any

from keras import layers

STEM_CHANNELS = 32
STAGES = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
"""(channels, residual blocks, True if the first block halves the resolution) of each stage."""


def face_resnet(image: Any) -> Any:
    """Build the features of the network.

    Args:
        image: (B, S, S, 1) uint8 tensor.

    Returns:
        (B, 256) feature vectors.
    """
    x = layers.Rescaling(1 / 255, name="scale")(image)
    x = layers.LayerNormalization(axis=(1, 2, 3), epsilon=1e-3, center=False, scale=False, name="light")(x)
    x = layers.ReLU()(_conv(x, STEM_CHANNELS, kernel=7, stride=2))
    x = layers.MaxPooling2D(3, strides=2)(x)
    for channels, blocks, halves in STAGES:
        for block in range(blocks):
            x = _residual_block(x, channels, 2 if halves and block == 0 else 1)
    return layers.GlobalAveragePooling2D()(x)


def _conv(x: Any, channels: int, kernel: int = 3, stride: int = 1) -> Any:
    """Convolve and normalize. Like dlib, strided convolutions are not padded."""
    x = layers.Conv2D(
        channels, kernel, strides=stride, padding="same" if stride == 1 else "valid", use_bias=False,
        kernel_initializer="he_normal",
    )(x)  # fmt: skip
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)


def _residual_block(x: Any, channels: int, stride: int) -> Any:
    """Add the input to two convolutions. Like dlib, the smaller of both is extended with zeros."""
    y = _conv(layers.ReLU()(_conv(x, channels, stride=stride)), channels)
    if stride > 1:
        x = layers.AveragePooling2D(2)(x)
        missing = x.shape[1] - y.shape[1]
        if missing:
            y = layers.ZeroPadding2D(((0, missing), (0, missing)))(y)
    if x.shape[-1] != channels:
        x = layers.Concatenate()([x, layers.Rescaling(0.0)(x)])
    return layers.ReLU()(layers.Add()([x, y]))
