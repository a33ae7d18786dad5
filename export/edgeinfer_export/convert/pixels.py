"""Scaling of raw pixels to the values that a network expects."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeinfer.errors import UsageError
from edgeinfer.results import Colour
from edgeinfer_export.options import InputRange

# Mean and standard deviation of red, green and blue in ImageNet, for pixels of 0..1: torchvision's documentation,
# "Models and pre-trained weights", section on the inference transforms.
IMAGENET_MEAN, IMAGENET_SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SCALES: dict[InputRange, tuple[float, float]] = {"0..1": (1 / 255, 0.0), "-1..1": (1 / 127.5, -1.0), "0..255": (1, 0)}
"""Scale and offset from 0..255 to each range that is the same for all channels."""


def pixel_scale(
    name: str, input_range: InputRange, *, channels: int, colour: Colour
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the factor and the summand of each channel of a network, (C,) each.

    Args:
        name: Name of the model in error messages.
        input_range: Range that the network expects.
        channels: Number of channels of the network, 1 or 3.
        colour: Channel order of the network.

    Raises:
        UsageError: ImageNet's statistics are requested for a network with one channel.
    """
    if input_range != "imagenet":
        scale, offset = SCALES[input_range]
        return np.full(channels, scale, np.float32), np.full(channels, offset, np.float32)
    if channels != 3:
        raise UsageError(f"{name} takes grey faces, but `input_range` imagenet has statistics of three channels: "
                         "pass 0..1, -1..1 or 0..255")  # fmt: skip
    order = slice(None, None, -1 if colour == "bgr" else 1)
    mean, spread = np.array(IMAGENET_MEAN)[order], np.array(IMAGENET_SPREAD)[order]
    return (1 / (255 * spread)).astype(np.float32), (-mean / spread).astype(np.float32)
