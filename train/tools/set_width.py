"""Change of the width of a trained edge network, as a starting point for training.

python train/tools/set_width.py RUN --width 0.92 --out start.keras
edgeinfer-train fit DATA --width 0.92 --weights start.keras --run RUN2
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from edgeinfer.cli.terminal import execute
from edgeinfer.errors import ModelError, OutputError
from edgeinfer_train.config import RANGES
from edgeinfer_train.networks.model import MODEL_FILE, build_core, check_model_path, load_model, save_model

Channels = NDArray[np.int64]


def set_width(model: Path, out: Path, *, width: float) -> None:
    """Copy a network into a narrower or wider one.

    A narrower network keeps the channels with the largest batch normalization scales (Liu et al. 2017,
    arXiv:1708.06519); channels of blocks that are added to each other are selected together, by the sum of their
    scales. A wider one computes the same outputs: its new channels have random inputs and no influence yet (after Chen
    et al. 2016, arXiv:1511.05641). Train either again with `weights` set to the new file. A network that was trained
    before `edgenet` normalized each face gets that layer, too: training must adapt the other layers to it.

    Args:
        model: Run folder or `.keras` file of the backbone "edgenet".
        out: The `.keras` file to write.
        width: Channel multiplier of the new network, above 0.

    Raises:
        ModelNotFoundError: The model does not exist.
        ModelError: The file was not written by `edgeinfer-train fit`, or is not an "edgenet".
        ConfigError: `width` is not positive, or too large.
        UsageError: `out` is not a `.keras` file.
        OutputError: The file cannot be written.
    """
    check_model_path(out)
    old, info = load_model(model / MODEL_FILE if model.is_dir() else model)
    if info.backbone != "edgenet":
        raise ModelError(f"{model} has the backbone {info.backbone}; only the width of edgenet can be changed")
    RANGES["width"].check("`width`", width)
    keras.utils.set_random_seed(0)
    new = build_core(
        "edgenet", len(info.labels), image_size=old.input_shape[1], width=width,
        dropout=float(info.settings.get("dropout", 0.0)),
    )  # fmt: skip
    if [type(layer) for layer in _weighted(old)] != [type(layer) for layer in _weighted(new)]:
        raise ModelError(f"{model} has other layers than the present edgenet")
    _copy_channels(old, new)
    # The validation results of the old network do not apply to the new one.
    new_info = dataclasses.replace(info, settings={**info.settings, "width": width}, validation={})
    try:
        save_model(new, new_info, out)
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}") from error


def _copy_channels(old: keras.Model, new: keras.Model) -> None:
    """Copy the channels that both networks have, layer by layer. They are the first ones of a wider network."""
    scales = _channel_scales(old)
    kept: dict[str, Channels] = {}
    targets = dict(zip((layer.name for layer in _weighted(old)), _weighted(new), strict=True))
    for layer in old.layers:
        if isinstance(layer, layers.InputLayer):
            kept[layer.name] = np.arange(layer.output.shape[-1])
            continue
        incoming = kept[_input_layers(layer)[0].name]
        kept[layer.name] = incoming
        if layer.name not in targets:
            continue
        target = targets[layer.name]
        weights, values = layer.get_weights(), target.get_weights()
        if isinstance(layer, layers.Conv2D):
            count = values[0].shape[-1]
            kept[layer.name] = selected = np.sort(np.argsort(-scales[layer.name], kind="stable")[:count])
            values[0][:, :, len(incoming) :] = 0
            values[0][:, :, : len(incoming), : len(selected)] = weights[0][:, :, incoming][..., selected]
        elif isinstance(layer, layers.BatchNormalization):
            for value, source in zip(values, weights, strict=True):
                value[: len(incoming)] = source[incoming]
        elif isinstance(layer, layers.Dense):
            values[0][len(incoming) :] = 0
            values[0][: len(incoming)] = weights[0][incoming]
            values[1] = weights[1]
        target.set_weights(values)


def _weighted(network: keras.Model) -> list[keras.Layer]:
    """Return the layers with weights."""
    return [layer for layer in network.layers if layer.weights]


def _channel_scales(network: keras.Model) -> dict[str, NDArray[np.float64]]:
    """Return the importance of each channel of each convolution, by layer name."""
    followers: dict[str, keras.Layer] = {}
    for layer in network.layers:
        if not isinstance(layer, layers.InputLayer):
            followers |= {source.name: layer for source in _input_layers(layer)}
    scales: dict[str, NDArray[np.float64]] = {}
    sums: dict[int, NDArray[np.float64]] = {}
    for layer in network.layers:
        if not isinstance(layer, layers.Conv2D):
            continue
        normalization = followers[layer.name]
        scale = np.abs(np.asarray(normalization.gamma, dtype=np.float64))
        scales[layer.name] = scale
        if isinstance(followers[normalization.name], layers.Add):
            # All blocks of a stage add to the same channels, so they share one sum.
            total = sums.setdefault(len(scale), np.zeros(len(scale)))
            total += scale
            scales[layer.name] = total
    return scales


def _input_layers(layer: keras.Layer) -> list[keras.Layer]:
    """Return the layers whose outputs a layer takes as inputs."""
    inputs = layer.input if isinstance(layer.input, list) else [layer.input]
    return [tensor._keras_history.operation for tensor in inputs]


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and write the new network."""
    parser = argparse.ArgumentParser(description="Copy a trained edge network into a narrower or wider one.")
    parser.add_argument("model", type=Path, metavar="RUN|FILE.keras", help="run folder or .keras file of an edgenet")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.keras", help="file to write")
    parser.add_argument("--width", type=float, required=True, metavar="W", help="channel multiplier of the new network")
    options = parser.parse_args(arguments)
    set_width(options.model, options.out, width=options.width)
    print(f"wrote {options.out}; train it with --weights {options.out}")


if __name__ == "__main__":
    sys.exit(execute(main, "set_width.py"))
