"""Scaling of prepared faces to squares of one size, and their encoding."""

from __future__ import annotations

from pathlib import PurePosixPath

import cv2
import numpy as np

from edgeinfer.expression.preprocess import model_input
from edgeinfer.results import Image
from edgeinfer_train.datasets.layout import SIZE_RANGE
from edgeinfer_train.datasets.prepare.report import DecodedFace
from edgeinfer_train.errors import ConfigError

JPEG_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})
JPEG_QUALITY = 95


def check_size(size: int | None) -> None:
    """Validate the side of prepared faces.

    Raises:
        ConfigError: The side is outside `SIZE_RANGE`.
    """
    if size is not None and not SIZE_RANGE[0] <= size <= SIZE_RANGE[1]:
        raise ConfigError(f"invalid `size` {size}: expected {SIZE_RANGE[0]} to {SIZE_RANGE[1]} pixels")


def encode_face(image: Image, name: str) -> DecodedFace:
    """Encode pixels as JPEG of quality 95 if the name is that of a JPEG file, else as PNG.

    Args:
        image: (H, W) grey or (H, W, 3) BGR uint8.
        name: File name.
    """
    if PurePosixPath(name).suffix.lower() in JPEG_SUFFIXES:
        content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    else:
        content = cv2.imencode(".png", image)[1]
    return DecodedFace(content.tobytes(), image)


def scale_face(face: DecodedFace, name: str, size: int) -> tuple[DecodedFace, str]:
    """Scale a face to a square, without regard to its aspect ratio, as the input of a network.

    Args:
        face: Face of any size.
        name: File name.
        size: Side of the square in pixels.

    Returns:
        The face, unchanged if it has this size, and its file name: `name`, with the suffix .png added if it was
        encoded again and is neither JPEG nor PNG.
    """
    if face.image.shape[:2] == (size, size):
        return face, name
    grey = face.image.ndim == 2
    image = model_input(face.image, size_hw=(size, size), colour="grey" if grey else "bgr")
    name = name if PurePosixPath(name).suffix.lower() in {".png", *JPEG_SUFFIXES} else f"{name}.png"
    return encode_face(np.ascontiguousarray(image[..., 0] if grey else image), name), name
