"""Decoding of compressed pictures."""

from __future__ import annotations

import cv2
import numpy as np

from edgeinfer.results import Image
from edgeinfer.system.stderr import silenced


def decode_image(data: bytes | bytearray, *, turn: bool = True) -> Image | None:
    """A compressed picture.

    Args:
        data: as it is stored.
        turn: whether to turn it as it says of itself.

    Returns:
        (H, W, 3) BGR uint8; None where it is no picture.
    """
    how = cv2.IMREAD_COLOR if turn else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        with silenced(native_only=True):  # the JPEG library comments on every damaged byte
            image = cv2.imdecode(np.frombuffer(data, np.uint8), how) if data else None
    except cv2.error:
        return None
    return None if image is None else np.asarray(image, dtype=np.uint8)
