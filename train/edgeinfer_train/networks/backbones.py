"""Registry of backbones. Each takes raw grey faces, scales the pixels itself, and returns one vector per face."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from keras import applications, layers

from edgeinfer.results import Colour
from edgeinfer_train.config import BackboneName, FitConfig
from edgeinfer_train.errors import ConfigError
from edgeinfer_train.networks.edgenet import EDGE_IMAGE_SIZE, EDGE_MIN_IMAGE_SIZE, edgenet, edgenet_sep
from edgeinfer_train.networks.efficientnet_lite import efficientnet_lite0
from edgeinfer_train.networks.face_resnet import face_resnet

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of R, G, B in 0..1


@dataclass(frozen=True, slots=True)
class Backbone:
    """Builder and input format of a backbone.

    Attributes:
        image_size: Default side of the square input in pixels.
        min_image_size: Smallest supported side in pixels.
        build_features: Function from a (B, S, S, 1) uint8 tensor and a width to (B, F) feature vectors, pixel scaling
            included.
        application: Function in keras.applications that builds the network and downloads its ImageNet weights, or
            None if Keras does not publish any.
        colour: Channels of the input. All backbones are grey: expressions show in shape, and many sources have no
            colour.
    """

    image_size: int
    min_image_size: int
    build_features: Callable[[Any, float], Any]
    application: Callable[..., Any] | None = None
    colour: Colour = "grey"

    @property
    def size_hw(self) -> tuple[int, int]:
        """Default height and width of the input in pixels."""
        return self.image_size, self.image_size


def resolve(config: FitConfig) -> FitConfig:
    """Replace an image size of 0 and weights of "auto" with the backbone's values.

    Raises:
        ConfigError: The image size is below the backbone's minimum.
    """
    backbone = BACKBONES[config.backbone]
    size = config.image_size or backbone.image_size
    if size < backbone.min_image_size:
        raise ConfigError(f"`image_size` is {size}: {config.backbone} needs at least {backbone.min_image_size}")
    weights = config.weights
    if weights == "auto":
        weights = "imagenet" if backbone.application else "none"
    return dataclasses.replace(config, image_size=size, weights=weights)


def _scaled_rgb(image: Any, scale: float | list[float], offset: float | list[float]) -> Any:
    """Repeat the grey channel three times, then scale each channel."""
    return layers.Rescaling(scale, offset, name="scale")(layers.Concatenate(name="three_channels")([image] * 3))


def _caffe_scaling(image: Any) -> Any:
    """Subtract the means of B, G and R. Equal channels need no reordering; only the means are in BGR order."""
    return _scaled_rgb(image, 1.0, [-103.939, -116.779, -123.68])


def _symmetric_scaling(image: Any) -> Any:
    """Scale 0..255 to -1..1."""
    return _scaled_rgb(image, 1 / 127.5, -1.0)


def _standard_scaling(image: Any) -> Any:
    """Scale each channel to mean 0 and deviation 1, times 255, because EfficientNet divides by 255 itself.

    EfficientNet's own Normalization layer remains the identity: keras.applications sets it up correctly only for
    networks that are built with `weights="imagenet"`.
    """
    offset = [-255 * mean / deviation for mean, deviation in zip(IMAGENET_MEAN, IMAGENET_DEVIATION, strict=True)]
    return _scaled_rgb(image, [1 / deviation for deviation in IMAGENET_DEVIATION], offset)


def _keras_application(
    application: Callable[..., Any], scaling: Callable[[Any], Any], image_size: int, min_image_size: int
) -> Backbone:
    def build_features(image: Any, _width: float) -> Any:
        return application(include_top=False, weights=None, input_tensor=scaling(image), pooling="avg").output

    return Backbone(image_size, min_image_size, build_features, application)


def _efficientnet_lite0(image: Any, _width: float) -> Any:
    return efficientnet_lite0(_scaled_rgb(image, 1 / 128, -127 / 128))


def _face_resnet(image: Any, _width: float) -> Any:
    return face_resnet(image)


BACKBONES: dict[BackboneName, Backbone] = {
    "edgenet": Backbone(EDGE_IMAGE_SIZE, EDGE_MIN_IMAGE_SIZE, edgenet),
    "edgenet-sep": Backbone(EDGE_IMAGE_SIZE, EDGE_MIN_IMAGE_SIZE, edgenet_sep),
    "vgg16": _keras_application(applications.VGG16, _caffe_scaling, 224, 32),
    "resnet50": _keras_application(applications.ResNet50, _caffe_scaling, 224, 32),
    "xception": _keras_application(applications.Xception, _symmetric_scaling, 299, 71),
    "inceptionv3": _keras_application(applications.InceptionV3, _symmetric_scaling, 299, 75),
    "mobilenetv2": _keras_application(applications.MobileNetV2, _symmetric_scaling, 224, 32),
    "efficientnetb0": _keras_application(applications.EfficientNetB0, _standard_scaling, 224, 32),
    "efficientnetlite0": Backbone(224, 32, _efficientnet_lite0),
    "faceresnet": Backbone(112, 104, _face_resnet),
}
if set(BACKBONES) != set(get_args(BackboneName)):
    raise RuntimeError("BackboneName and BACKBONES list different backbones")
