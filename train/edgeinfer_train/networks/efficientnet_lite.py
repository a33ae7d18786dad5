"""EfficientNet-Lite0, which keras.applications does not include.

Tan & Le 2019 (arXiv:1905.11946), in the variant that TensorFlow published for phones in 2020: no
squeeze-and-excitation, ReLU6 instead of swish, and a stem of 32 and a head of 1280 channels at any width.
"""

from __future__ import annotations

from typing import Any

from keras import layers

# repeats, kernel, stride, expansion, output channels
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def efficientnet_lite0(x: Any) -> Any:
    """Build the network without its classifier.

    The padding is TensorFlow's "same", which adds the odd pixel at the bottom and on the right, as in the training of
    the published weights.

    Args:
        x: (B, H, W, 3) scaled pixels.

    Returns:
        (B, 1280) feature vectors.
    """
    x = _relu6(_normalized_conv(layers.Conv2D, x, "stem", filters=32, kernel_size=3, strides=2))
    position = 0
    for repeats, kernel, stride, expansion, channels in STAGES:
        for repeat in range(repeats):
            x = _block(x, f"block{position}", kernel, stride if repeat == 0 else 1, expansion, channels)
            position += 1
    x = _relu6(_normalized_conv(layers.Conv2D, x, "head", filters=1280, kernel_size=1))
    return layers.GlobalAveragePooling2D()(x)


def _block(x: Any, name: str, kernel: int, stride: int, expansion: int, channels: int) -> Any:
    """Build an inverted residual block (Sandler et al. 2018, arXiv:1801.04381)."""
    y, input_channels = x, x.shape[-1]
    if expansion > 1:
        expanded = input_channels * expansion
        y = _relu6(_normalized_conv(layers.Conv2D, y, f"{name}_expand", filters=expanded, kernel_size=1))
    y = _relu6(_normalized_conv(layers.DepthwiseConv2D, y, f"{name}_depthwise", kernel_size=kernel, strides=stride))
    y = _normalized_conv(layers.Conv2D, y, f"{name}_project", filters=channels, kernel_size=1)
    return layers.Add()([x, y]) if stride == 1 and input_channels == channels else y


def _normalized_conv(convolution: Any, x: Any, name: str, **options: Any) -> Any:
    x = convolution(padding="same", use_bias=False, name=f"{name}_conv", **options)(x)
    return layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=f"{name}_norm")(x)


def _relu6(x: Any) -> Any:
    return layers.ReLU(max_value=6.0)(x)
