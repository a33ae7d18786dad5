"""Feature extractors by name. Each takes scaled faces and gives one feature vector a face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from keras import layers

from edgeinfer.preprocess import Colour
from edgeinfer_train.config import BackboneName


@dataclass(frozen=True, slots=True)
class Backbone:
    """How a backbone is built and what it is fed.

    Attributes:
        size_hw: height and width of its input in pixels.
        colour: channels of its input.
        scale: factor on the raw pixels, part of the saved graph.
        offset: added after the factor.
        build: (scaled input tensor, width factor) -> feature vectors.
    """

    size_hw: tuple[int, int]
    colour: Colour
    scale: float
    offset: float
    build: Callable[[Any, float], Any]


def _conv(x: Any, channels: int, kernel: int = 3, stride: int = 1, relu: bool = True) -> Any:
    x = layers.Conv2D(channels, kernel, strides=stride, padding="same", use_bias=False, kernel_initializer="he_normal")(
        x
    )
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
    return layers.ReLU()(x) if relu else x


def _separable(x: Any, channels: int, stride: int = 1, relu: bool = True) -> Any:
    x = layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False, depthwise_initializer="he_normal")(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
    return _conv(layers.ReLU()(x), channels, kernel=1, relu=relu)


def _residual(x: Any, channels: int, stride: int, convolution: Callable[..., Any]) -> Any:
    y = convolution(convolution(x, channels, stride=stride), channels, relu=False)
    if stride > 1 or x.shape[-1] != channels:
        x = _conv(x, channels, kernel=1, stride=stride, relu=False)
    return layers.ReLU()(layers.Add()([x, y]))


def _edgenet(x: Any, width: float, *, convolution: Callable[..., Any]) -> Any:
    """A residual network after He et al. 2016 (arXiv:1512.03385), sized for 48x48 faces.

    ReLU and no attention, so that batch normalization folds away and int8 costs nothing.
    """

    def channels(count: int) -> int:
        return max(8, round(count * width / 8) * 8)

    x = _conv(x, channels(16))
    for count, blocks in ((32, 1), (64, 2), (128, 2)):
        for block in range(blocks):
            x = _residual(x, channels(count), 2 if block == 0 else 1, convolution)
    return layers.GlobalAveragePooling2D()(x)


BACKBONES: dict[BackboneName, Backbone] = {
    "edgenet": Backbone((48, 48), "grey", 1 / 127.5, -1.0, lambda x, w: _edgenet(x, w, convolution=_conv)),
    "edgenet-sep": Backbone((48, 48), "grey", 1 / 127.5, -1.0, lambda x, w: _edgenet(x, w, convolution=_separable)),
}
if set(BACKBONES) != set(get_args(BackboneName)):
    raise RuntimeError("BackboneName and BACKBONES name different backbones")
