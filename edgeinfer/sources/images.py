"""Decoding of compressed pictures."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edgeinfer.errors import SourceError
from edgeinfer.results import Image
from edgeinfer.sources.picture_size import MAX_MEGAPIXELS, Data, PictureHeader, check_size
from edgeinfer.system.stderr import silenced

FRAME_PIXELS = 12_500_000
"""Maximum number of pixels of a frame; larger pictures are reduced, because a search takes up to 33 bytes per pixel."""
_REDUCED_COLOUR = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}


@dataclass(frozen=True, slots=True)
class DecodedPicture:
    """A decoded picture, reduced if it was larger than `FRAME_PIXELS`.

    Attributes:
        image: (H, W, 3) uint8 BGR.
        full_size_wh: Width and height before the reduction in pixels, in the orientation of `image`.
    """

    image: Image
    full_size_wh: tuple[int, int]

    @property
    def is_reduced(self) -> bool:
        """True if `image` is smaller than the picture as stored."""
        return self.image.shape[1::-1] != self.full_size_wh


def decode_image(data: Data, *, apply_orientation: bool = True, max_megapixels: float = MAX_MEGAPIXELS) -> Image | None:
    """Decode a compressed picture at its full size.

    Args:
        data: Content of a picture file in one of the formats of `picture_size`.
        apply_orientation: True to rotate and mirror the picture according to its EXIF orientation.
        max_megapixels: Size limit in millions of pixels.

    Returns:
        (H, W, 3) uint8 BGR, or None if the data cannot be decoded or declares a size beyond the limit.
    """
    try:
        check_size(data, max_megapixels=max_megapixels)
        return _decoded(data, cv2.IMREAD_COLOR, apply_orientation=apply_orientation)
    except SourceError:
        return None


def decode_picture(
    data: Data, *, apply_orientation: bool = True, max_megapixels: float = MAX_MEGAPIXELS
) -> DecodedPicture:
    """Decode a compressed picture, reduced to at most `FRAME_PIXELS`; see `decode_image` for the arguments.

    Raises:
        SourceError: The data cannot be decoded, or declares a size beyond the limit. The message continues a sentence
            that begins with the name of the picture.
    """
    header = check_size(data, max_megapixels=max_megapixels)
    flags = _REDUCED_COLOUR.get(_jpeg_reduction(header), cv2.IMREAD_COLOR)
    image = _decoded(data, flags, apply_orientation=apply_orientation)
    height, width = image.shape[:2]
    is_turned = (width < height) != (header.width < header.height)
    full_wh = (header.height, header.width) if is_turned else (header.width, header.height)
    shrink = (width * height / FRAME_PIXELS) ** 0.5
    if shrink > 1:
        size_wh = (max(1, int(width / shrink)), max(1, int(height / shrink)))
        image = np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return DecodedPicture(image, full_wh)


def _jpeg_reduction(header: PictureHeader) -> int:
    """Return the factor by which libjpeg reduces both sides: the largest that leaves about `FRAME_PIXELS` or more."""
    if header.format != "jpeg":
        return 1
    return max(
        factor for factor in (1, *_REDUCED_COLOUR) if factor == 1 or header.pixels >= 0.9 * factor**2 * FRAME_PIXELS
    )


def _decoded(data: Data, flags: int, *, apply_orientation: bool) -> Image:
    flags |= 0 if apply_orientation else cv2.IMREAD_IGNORE_ORIENTATION
    try:
        with silenced(native_only=True):  # libjpeg prints a message for each corrupt segment
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise SourceError("is not a readable picture (damaged, or in an unsupported variant of its format)")
    return np.asarray(image, dtype=np.uint8)
