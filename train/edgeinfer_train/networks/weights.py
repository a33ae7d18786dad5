"""What a backbone knows before training: nothing, ImageNet, or what a file holds."""

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
"""Weights fit any size; at this one every application knows its own without a warning."""


def initialize(core: keras.Model, backbone: BackboneName, weights: str) -> None:
    """Give the backbone inside a core its first weights. The head is left as it is.

    Args:
        core: a network that `build_core` made, overwritten.
        backbone: its registry name.
        weights: "none"; "imagenet", which Keras fetches once and keeps in `~/.keras/models`; or the path of a
            run folder, a `.keras` file of ours or of keras.applications, a Keras 3 `.weights.h5` file, or a
            "notop" `.h5` file as keras.applications publishes them.

    Raises:
        ConfigError: nobody publishes ImageNet weights for this backbone.
        ModelNotFoundError: there is no such file, or the weights cannot be fetched.
        ModelError: the file holds another network.
    """
    if weights == "none":
        return
    features = backbone_of(core)
    if weights == "imagenet":
        features.set_weights(_imagenet(backbone).get_weights())
    else:
        _load(features, backbone, Path(weights))
    _keep_scaling(features)


def _imagenet(backbone: BackboneName) -> keras.Model:
    application = BACKBONES[backbone].application
    if application is None:
        make = f"; make a file with {CONVERTER} and give it by --weights FILE"
        way = make if backbone == "efficientnetlite0" else "; train it with --weights none or give a run"
        raise ConfigError(f"Keras publishes no ImageNet weights for {backbone}{way}")
    shape = (PUBLISHED_SIZE, PUBLISHED_SIZE, 3)
    try:
        return application(include_top=False, weights="imagenet", input_shape=shape, pooling="avg")
    except Exception as error:  # Keras raises plain Exception when a download fails
        raise ModelNotFoundError(
            f"the ImageNet weights of {backbone} cannot be fetched; bring their 'notop' .h5 file from a machine with "
            "a network and give it by --weights FILE, or start afresh with --weights none"
        ) from error


def _load(features: keras.Model, backbone: BackboneName, path: Path) -> None:
    path = path / MODEL_FILE if path.is_dir() else path
    if not path.is_file():
        raise ModelNotFoundError(
            f"no weights at {path}; give imagenet, none, a run folder, or a .keras, .weights.h5 or .h5 file"
        )
    try:
        if path.suffix.lower() == ".keras":
            features.set_weights(_backbone_in(path, backbone).get_weights())
        else:
            features.load_weights(path)
    except ModelError:
        raise
    except Exception as error:  # files of another network or none at all make Keras and h5py raise almost anything
        raise ModelError(f"{path} does not hold the weights of this {backbone} without its head") from error


def _backbone_in(path: Path, backbone: BackboneName) -> keras.Model:
    """The feature extractor in a `.keras` file, ours or one that keras.applications built."""
    try:
        info = read_model_info(path)
    except ModelError:
        return keras.saving.load_model(path, compile=False)
    if info.backbone != backbone:
        raise ModelError(f"{path} was built on {info.backbone}; it cannot start a {backbone}")
    return backbone_of(load_model(path)[0])


def _keep_scaling(features: keras.Model) -> None:
    """Undo the pixel statistics that EfficientNet's files carry: ours are part of the scaling before it."""
    for layer in features.layers:
        if isinstance(layer, keras.layers.Normalization):
            mean, variance, count = layer.get_weights()
            layer.set_weights([0 * mean, 0 * variance + 1, count])
            layer.finalize_state()
