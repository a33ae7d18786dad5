"""Feature extractors by name. Each takes raw grey faces, scales them itself, and gives one vector a face."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from keras import applications, layers

from edgeinfer.results import Colour
from edgeinfer_train.config import BackboneName, FitConfig
from edgeinfer_train.errors import ConfigError
from edgeinfer_train.networks.efficientnet_lite import efficientnet_lite0

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of R, G, B in 0..1


@dataclass(frozen=True, slots=True)
class Backbone:
    """How a backbone is built and what it is fed.

    Attributes:
        size: side of its square input, in pixels, where a run asks for no other.
        minimum: the smallest side that it can be built for, in pixels.
        features: ((B, S, S, 1) uint8 tensor, width factor) -> (B, F) feature vectors. Scaling is part of it.
        application: builds it in keras.applications, where its ImageNet weights are published.
        colour: channels of its input. All are grey: expressions are told from shape, and many faces come grey.
    """

    size: int
    minimum: int
    features: Callable[[Any, float], Any]
    application: Callable[..., Any] | None = None
    colour: Colour = "grey"

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of its input in pixels, where a run asks for no other."""
        return self.size, self.size


def resolve(config: FitConfig) -> FitConfig:
    """Replace what a config leaves to the backbone: the image size and the initial weights.

    Raises:
        ConfigError: the backbone cannot be built for such small images.
    """
    spec = BACKBONES[config.backbone]
    size = config.image_size or spec.size
    if size < spec.minimum:
        raise ConfigError(f"image_size is {size}; {config.backbone} takes {spec.minimum} or more")
    weights = config.weights
    if weights == "auto":
        weights = "imagenet" if spec.application else "none"
    return dataclasses.replace(config, image_size=size, weights=weights)


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
        if stride > 1 and x.shape[-1] == 8:
            # oneDNN in TensorFlow 2.21 writes past its memory in the float32 gradient of a strided 1x1 convolution
            # over 8 channels of 56 to 80 pixels. Picking the pixels first gives the same numbers.
            x, stride = layers.MaxPooling2D(1, strides=stride, padding="same")(x), 1
        x = _conv(x, channels, kernel=1, stride=stride, relu=False)
    return layers.ReLU()(layers.Add()([x, y]))


def _edge(convolution: Callable[..., Any]) -> Backbone:
    """A residual network after He et al. 2016 (arXiv:1512.03385), sized for faces of 48 to 64 pixels.

    ReLU and no attention, so that batch normalization folds away and int8 costs nothing.
    """

    def features(image: Any, width: float) -> Any:
        def channels(count: int) -> int:
            return max(8, round(count * width / 8) * 8)

        # Zero mean and unit variance for each face: what little or harsh light does to all of its pixels is undone.
        x = layers.Rescaling(1 / 255, name="scale")(image)
        x = layers.LayerNormalization(axis=(1, 2, 3), epsilon=1e-3, center=False, scale=False, name="light")(x)
        x = _conv(x, channels(16))
        for count, blocks in ((32, 1), (64, 2), (128, 2)):
            for block in range(blocks):
                x = _residual(x, channels(count), 2 if block == 0 else 1, convolution)
        return layers.GlobalAveragePooling2D()(x)

    return Backbone(48, 32, features)


def _three(image: Any, scale: float | list[float], offset: float | list[float]) -> Any:
    """Repeat grey as three channels, then scale each."""
    return layers.Rescaling(scale, offset, name="scale")(layers.Concatenate(name="three_channels")([image] * 3))


def _caffe(image: Any) -> Any:
    """Means of B, G and R taken off. The order of equal channels needs no change, only that of the means."""
    return _three(image, 1.0, [-103.939, -116.779, -123.68])


def _symmetric(image: Any) -> Any:
    return _three(image, 1 / 127.5, -1.0)


def _standard(image: Any) -> Any:
    """Mean 0 and deviation 1 a channel, times 255, since EfficientNet divides by that itself.

    Its own Normalization layer stays the identity: in keras.applications it is right only for networks that
    were built with `weights="imagenet"`.
    """
    offset = [-255 * mean / deviation for mean, deviation in zip(IMAGENET_MEAN, IMAGENET_DEVIATION, strict=True)]
    return _three(image, [1 / deviation for deviation in IMAGENET_DEVIATION], offset)


def _published(application: Callable[..., Any], scaled: Callable[[Any], Any], size: int, minimum: int) -> Backbone:
    def features(image: Any, _width: float) -> Any:
        return application(include_top=False, weights=None, input_tensor=scaled(image), pooling="avg").output

    return Backbone(size, minimum, features, application)


def _lite0(image: Any, _width: float) -> Any:
    return efficientnet_lite0(_three(image, 1 / 128, -127 / 128))


BACKBONES: dict[BackboneName, Backbone] = {
    "edgenet": _edge(_conv),
    "edgenet-sep": _edge(_separable),
    "vgg16": _published(applications.VGG16, _caffe, 224, 32),
    "resnet50": _published(applications.ResNet50, _caffe, 224, 32),
    "xception": _published(applications.Xception, _symmetric, 299, 71),
    "inceptionv3": _published(applications.InceptionV3, _symmetric, 299, 75),
    "mobilenetv2": _published(applications.MobileNetV2, _symmetric, 224, 32),
    "efficientnetb0": _published(applications.EfficientNetB0, _standard, 224, 32),
    "efficientnetlite0": Backbone(224, 32, _lite0),
}
if set(BACKBONES) != set(get_args(BackboneName)):
    raise RuntimeError("BackboneName and BACKBONES name different backbones")
