"""Arrays of pixels: validation, and conversion between grey and colour."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from edgeinfer.errors import UsageError
from edgeinfer.results import Image


def check_image(image: Any, kind: str) -> None:
    """Validate an image that another program passes.

    Args:
        image: Value to check.
        kind: Name of the image in the message, such as "frame".

    Raises:
        UsageError: The value is not an (H, W, 3) or (H, W) uint8 array of at least one pixel.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        raise UsageError(
            f"invalid {kind} of type {getattr(image, 'dtype', type(image).__name__)}: expected a uint8 array"
        )
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)) or 0 in image.shape:
        raise UsageError(f"invalid {kind} of shape {image.shape}: expected (H, W) or (H, W, 3) with at least one pixel")


def in_grey(image: Image) -> Image:
    """Return a (H, W, 3) BGR or (H, W) grey uint8 image as grey."""
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)


def in_colour(image: Image) -> Image:
    """Return a (H, W, 3) BGR or (H, W) grey uint8 image as BGR."""
    return image if image.ndim == 3 else np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
