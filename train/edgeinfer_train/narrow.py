"""A narrower network out of a wider one, to begin a training with."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from edgeinfer.errors import ModelError, OutputError, UsageError
from edgeinfer_train.networks.model import MODEL_FILE, ModelInfo, build_core, load_model, save_model

Channels = NDArray[np.int64]


def narrow(model: Path, out: Path, *, width: float) -> None:
    """Keep the channels that matter most, by the scales of their batch normalization (Liu et al. 2017, 1708.06519).

    Channels of blocks that are added to each other are chosen together, by the sum of their scales. The answers get
    worse; train the network again from here, with `weights` set to the file.

    Args:
        model: a run folder or `.keras` file of the backbone "edgenet".
        out: the `.keras` file to write.
        width: of the new network, above 0 and below that of the old one.

    Raises:
        ModelNotFoundError: there is no such model.
        ModelError: it is none of ours, or of another backbone.
        UsageError: it is not wider than `width`, or `width` is so small that the network is built otherwise.
        OutputError: the file cannot be written.
    """
    wide, info = load_model(model / MODEL_FILE if model.is_dir() else model)
    if info.backbone != "edgenet":
        raise ModelError(f"{model} is of the backbone {info.backbone}; edgenet alone is made narrower")
    before = float(info.settings.get("width", 1.0))
    if not 0 < width < before:
        raise UsageError(f"a width of {width:g} is not narrower than the {before:g} of {model}")
    slim = build_core(
        "edgenet", len(info.labels), image_size=wide.input_shape[1], width=width,
        dropout=float(info.settings.get("dropout", 0.0)),
    )  # fmt: skip
    if [type(layer) for layer in wide.layers] != [type(layer) for layer in slim.layers]:
        raise UsageError(f"at a width of {width:g} the network is built otherwise; choose a larger one")
    _copy(wide, slim)
    settings = {**info.settings, "width": width}
    try:
        save_model(slim, _described(info, settings), out)
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}") from error


def _described(info: ModelInfo, settings: dict[str, object]) -> ModelInfo:
    """What was measured on the wide network is not true of the narrow one."""
    return dataclasses.replace(info, settings=settings, validation={})


def _copy(wide: keras.Model, slim: keras.Model) -> None:
    """Fill a narrow network with the chosen channels of a wide one, layer by layer."""
    scales = _scales(wide)
    kept: dict[str, Channels] = {}
    for layer, target in zip(wide.layers, slim.layers, strict=True):
        if isinstance(layer, layers.InputLayer):
            kept[layer.name] = np.arange(layer.output.shape[-1])
            continue
        incoming = kept[_sources(layer)[0].name]
        kept[layer.name] = incoming
        weights = layer.get_weights()
        if isinstance(layer, layers.Conv2D):
            count = target.kernel.shape[-1]
            kept[layer.name] = chosen = np.sort(np.argsort(-scales[layer.name], kind="stable")[:count])
            target.set_weights([weights[0][:, :, incoming][..., chosen]])
        elif isinstance(layer, layers.BatchNormalization):
            target.set_weights([values[incoming] for values in weights])
        elif isinstance(layer, layers.Dense):
            target.set_weights([weights[0][incoming], weights[1]])


def _scales(wide: keras.Model) -> dict[str, NDArray[np.float64]]:
    """How much each channel of each convolution matters."""
    followers: dict[str, keras.Layer] = {}
    for layer in wide.layers:
        if not isinstance(layer, layers.InputLayer):
            followers |= {source.name: layer for source in _sources(layer)}
    own: dict[str, NDArray[np.float64]] = {}
    streams: dict[int, NDArray[np.float64]] = {}
    for layer in wide.layers:
        if not isinstance(layer, layers.Conv2D):
            continue
        normalization = followers[layer.name]
        scale = np.abs(np.asarray(normalization.gamma, dtype=np.float64))
        own[layer.name] = scale
        if isinstance(followers[normalization.name], layers.Add):
            # Every block of a stage adds to the same channels.
            stream = streams.setdefault(len(scale), np.zeros(len(scale)))
            stream += scale
            own[layer.name] = stream
    return own


def _sources(layer: keras.Layer) -> list[keras.Layer]:
    """The layers that a layer takes its inputs from."""
    inputs = layer.input if isinstance(layer.input, list) else [layer.input]
    return [tensor._keras_history.operation for tensor in inputs]
