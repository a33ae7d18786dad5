"""Decoding of compressed pictures."""

from __future__ import annotations

import cv2
import numpy as np

from edgeinfer.results import Image
from edgeinfer.system.stderr import silenced


def decode_image(data: bytes | bytearray, *, apply_orientation: bool = True) -> Image | None:
    """Decode a compressed picture.

    Args:
        data: Content of a picture file, in any format that OpenCV decodes.
        apply_orientation: True to rotate and mirror the picture according to its EXIF orientation.

    Returns:
        (H, W, 3) uint8 BGR, or None if the data cannot be decoded.
    """
    flags = cv2.IMREAD_COLOR if apply_orientation else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        with silenced(native_only=True):  # libjpeg prints a message for each corrupt segment
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error:
        return None
    return None if image is None else np.asarray(image, dtype=np.uint8)
