"""Reduction of a trained edge network to a smaller width, as a starting point for training.

python train/tools/narrow.py RUN --width 0.92 --out start.keras
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
from edgeinfer.errors import ModelError, OutputError, UsageError
from edgeinfer_train.networks.model import MODEL_FILE, build_core, check_model_path, load_model, save_model

Channels = NDArray[np.int64]


def narrow(model: Path, out: Path, *, width: float) -> None:
    """Keep the channels with the largest batch normalization scales (Liu et al. 2017, arXiv:1708.06519).

    Channels of blocks that are added to each other are selected together, by the sum of their scales. Accuracy
    drops; train the network again with `weights` set to the new file.

    Args:
        model: Run folder or `.keras` file of the backbone "edgenet".
        out: The `.keras` file to write.
        width: Channel multiplier of the new network, above 0 and below that of the old one.

    Raises:
        ModelNotFoundError: The model does not exist.
        ModelError: The file was not written by `edgeinfer-train fit`, or the backbone is not "edgenet".
        UsageError: `width` is not below the model's width, `width` changes the layers of the network, or `out` is
            not a `.keras` file.
        OutputError: The file cannot be written.
    """
    check_model_path(out)
    wide, info = load_model(model / MODEL_FILE if model.is_dir() else model)
    if info.backbone != "edgenet":
        raise ModelError(f"{model} has the backbone {info.backbone}; only edgenet can be narrowed")
    old_width = float(info.settings.get("width", 1.0))
    if not 0 < width < old_width:
        raise UsageError(
            f"invalid `width` {width:g}: expected a value above 0 and below {old_width:g}, that of {model}"
        )
    slim = build_core(
        "edgenet", len(info.labels), image_size=wide.input_shape[1], width=width,
        dropout=float(info.settings.get("dropout", 0.0)),
    )  # fmt: skip
    if [type(layer) for layer in wide.layers] != [type(layer) for layer in slim.layers]:
        raise UsageError(f"a `width` of {width:g} changes the layers of the network; choose a larger one")
    _copy_channels(wide, slim)
    # The validation results of the wide network do not apply to the narrow one.
    slim_info = dataclasses.replace(info, settings={**info.settings, "width": width}, validation={})
    try:
        save_model(slim, slim_info, out)
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}") from error


def _copy_channels(wide: keras.Model, slim: keras.Model) -> None:
    """Copy the selected channels of a wide network into a narrow one, layer by layer."""
    scales = _channel_scales(wide)
    kept: dict[str, Channels] = {}
    for layer, target in zip(wide.layers, slim.layers, strict=True):
        if isinstance(layer, layers.InputLayer):
            kept[layer.name] = np.arange(layer.output.shape[-1])
            continue
        incoming = kept[_input_layers(layer)[0].name]
        kept[layer.name] = incoming
        weights = layer.get_weights()
        if isinstance(layer, layers.Conv2D):
            count = target.kernel.shape[-1]
            kept[layer.name] = selected = np.sort(np.argsort(-scales[layer.name], kind="stable")[:count])
            target.set_weights([weights[0][:, :, incoming][..., selected]])
        elif isinstance(layer, layers.BatchNormalization):
            target.set_weights([values[incoming] for values in weights])
        elif isinstance(layer, layers.Dense):
            target.set_weights([weights[0][incoming], weights[1]])


def _channel_scales(wide: keras.Model) -> dict[str, NDArray[np.float64]]:
    """Return the importance of each channel of each convolution, by layer name."""
    followers: dict[str, keras.Layer] = {}
    for layer in wide.layers:
        if not isinstance(layer, layers.InputLayer):
            followers |= {source.name: layer for source in _input_layers(layer)}
    scales: dict[str, NDArray[np.float64]] = {}
    sums: dict[int, NDArray[np.float64]] = {}
    for layer in wide.layers:
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
    """Parse the command line and write the narrower network."""
    parser = argparse.ArgumentParser(description="Make a narrower edge network from a trained one.")
    parser.add_argument("model", type=Path, metavar="RUN|FILE.keras", help="run folder or .keras file of an edgenet")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.keras", help="file to write")
    parser.add_argument("--width", type=float, required=True, metavar="W", help="channel multiplier of the new network")
    options = parser.parse_args(arguments)
    narrow(options.model, options.out, width=options.width)
    print(f"wrote {options.out}; train it with --weights {options.out}")


if __name__ == "__main__":
    sys.exit(execute(main, "narrow.py"))
