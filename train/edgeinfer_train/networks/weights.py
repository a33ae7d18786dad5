"""Initial weights of a backbone: random, ImageNet, or from a file."""

from __future__ import annotations

from pathlib import Path

import keras

from edgeinfer.errors import ModelError, ModelNotFoundError
from edgeinfer_train.config import BackboneName
from edgeinfer_train.errors import ConfigError
from edgeinfer_train.networks.backbones import BACKBONES
from edgeinfer_train.networks.model import MODEL_FILE, backbone_of, load_model, read_model_info

CONVERTER = "train/tools/convert_efficientnet_lite0.py"
PUBLISHED_SIZE = 224
"""Input size for which the ImageNet weights are loaded. The weights fit any size; this one causes no warning."""


def initialize(core: keras.Model, backbone: BackboneName, weights: str) -> None:
    """Set the initial weights of the backbone inside a core. The head is not changed.

    Args:
        core: Network built by `build_core`; modified in place.
        backbone: Registry name of its backbone.
        weights: "none"; "imagenet", which Keras downloads once and caches in `~/.keras/models`; or the path of a run
            folder, a `.keras` file of this package or of keras.applications, a Keras 3 `.weights.h5` file, or a
            "notop" `.h5` file as published by keras.applications.

    Raises:
        ConfigError: Keras does not publish ImageNet weights for this backbone.
        ModelNotFoundError: The file does not exist, or the download failed.
        ModelError: The file contains a different network.
    """
    if weights == "none":
        return
    features = backbone_of(core)
    if weights == "imagenet":
        features.set_weights(_imagenet(backbone).get_weights())
    else:
        _load(features, backbone, Path(weights))
    _reset_normalization(features)


def _imagenet(backbone: BackboneName) -> keras.Model:
    """Build the published network with its ImageNet weights."""
    application = BACKBONES[backbone].application
    if application is None:
        conversion = f"create a file with {CONVERTER} and set `weights` to its path"
        remedy = conversion if backbone == "efficientnetlite0" else 'set `weights` to "none" or to a run folder'
        raise ConfigError(f"Keras publishes no ImageNet weights for {backbone}: {remedy}")
    shape = (PUBLISHED_SIZE, PUBLISHED_SIZE, 3)
    try:
        return application(include_top=False, weights="imagenet", input_shape=shape, pooling="avg")
    except Exception as error:  # Keras raises plain Exception when a download fails
        raise ModelNotFoundError(
            f"cannot download the ImageNet weights of {backbone}: copy their 'notop' .h5 file from another machine and "
            'set `weights` to its path, or set `weights` to "none" to train from scratch'
        ) from error


def _load(features: keras.Model, backbone: BackboneName, path: Path) -> None:
    """Load the weights of a backbone from a run folder or a file."""
    path = path / MODEL_FILE if path.is_dir() else path
    if not path.is_file():
        raise ModelNotFoundError(
            f'no weights at {path}: set `weights` to "imagenet", "none", a run folder, or a .keras, .weights.h5 or '
            ".h5 file"
        )
    try:
        if path.suffix.lower() == ".keras":
            features.set_weights(_load_backbone(path, backbone).get_weights())
        else:
            features.load_weights(path)
    except ModelError:
        raise
    except Exception as error:  # for a foreign or damaged file, Keras and h5py raise almost any exception
        raise ModelError(f"{path} does not contain the weights of this {backbone} without its head") from error


def _load_backbone(path: Path, backbone: BackboneName) -> keras.Model:
    """Load the feature extractor from a `.keras` file of this package or keras.applications."""
    try:
        info = read_model_info(path)
    except ModelError:
        return keras.saving.load_model(path, compile=False)
    if info.backbone != backbone:
        raise ModelError(f"{path} has the backbone {info.backbone}, not {backbone}")
    return backbone_of(load_model(path)[0])


def _reset_normalization(features: keras.Model) -> None:
    """Make EfficientNet's Normalization layer the identity; the preceding scaling layer applies the statistics."""
    for layer in features.layers:
        if isinstance(layer, keras.layers.Normalization):
            mean, variance, count = layer.get_weights()
            layer.set_weights([0 * mean, 0 * variance + 1, count])
            layer.finalize_state()
