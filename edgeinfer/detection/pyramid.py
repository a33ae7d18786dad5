"""Image pyramid: one frame at the sizes that detection and tracking need, each computed once."""

from __future__ import annotations

import cv2
import numpy as np

from edgeinfer.pixels import in_colour, in_grey
from edgeinfer.results import Image

LARGE_SIDE = 600
"""Shorter side above which frames are reduced in one step, each pixel the mean of at most four, in pixels: to read all
pixels would take longer than the search."""
THUMBNAIL_SIDES = (36, 50)
"""Lower limit of the shorter side of the picture that is reduced to a thumbnail, for other and for large frames; in
pixels."""


class Pyramid:
    """A frame and its grey pictures of decreasing size.

    Attributes:
        image: (H, W, 3) BGR or (H, W) grey uint8; it is not modified.
    """

    def __init__(self, image: Image) -> None:
        """Wrap a frame; the pictures are computed when first used."""
        self.image = image
        self._levels: dict[int, Image] = {}
        self._large = min(image.shape[:2]) > LARGE_SIDE

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the frame in pixels."""
        return self.image.shape[1], self.image.shape[0]

    def level(self, number: int) -> Image:
        """Return the grey frame halved `number` times, (H, W) uint8."""
        if number not in self._levels:
            in_one_step = self._large or not number
            self._levels[number] = (
                in_grey(_reduced(self.image, number)) if in_one_step else _reduced(self.level(number - 1), 1)
            )
        return self._levels[number]

    def shrunk(self, side: int) -> Image:
        """Return the grey frame reduced to a shorter side of `side` pixels, never enlarged; (h, w) uint8."""
        shrink = min(self.size_wh) / side
        if shrink <= 1:
            return self.level(0)
        width, height = self.size_wh
        size_wh = max(1, round(width / shrink)), max(1, round(height / shrink))
        return _resized(self.level(_halvings(shrink)), size_wh)

    def thumbnail(self, size_wh: tuple[int, int]) -> Image:
        """Return the grey frame at a much smaller size, each pixel the mean of the area it covers; (h, w) uint8."""
        source = self.level(_halvings(min(self.size_wh) / THUMBNAIL_SIDES[self._large]))
        return np.asarray(cv2.resize(source, size_wh, interpolation=cv2.INTER_AREA), np.uint8)

    def patch(self, x: float, y: float, side: float, pixels: int) -> Image:
        """Return a square around a point; pixels outside the frame repeat its edge.

        Args:
            x: Horizontal centre in pixels of the frame.
            y: Vertical centre in pixels of the frame.
            side: Side of the square in pixels of the frame, above 0.
            pixels: Side of the result in pixels.

        Returns:
            (pixels, pixels) uint8.
        """
        number = _halvings(side / pixels)
        source, first_x, first_y = self._surroundings(x, y, side, number)
        shrink = 2**number
        step = side / pixels / shrink
        left = (x + 0.5) / shrink - 0.5 - step * (pixels - 1) / 2 - first_x
        top = (y + 0.5) / shrink - 0.5 - step * (pixels - 1) / 2 - first_y
        to_source = np.array([[step, 0.0, left], [0.0, step, top]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        square = cv2.warpAffine(source, to_source, (pixels, pixels), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(square, np.uint8)

    def cut(self, box: tuple[int, int, int, int], zoom: float) -> Image:
        """Return a part of the frame in colour, reduced or enlarged.

        Args:
            box: Left, top, right and bottom in pixels of the frame, inside it.
            zoom: Side of a pixel of the result, in pixels of the frame, at most the sides of the box.

        Returns:
            (h, w, 3) uint8 BGR.
        """
        left, top, right, bottom = box
        size_wh = max(1, round((right - left) / zoom)), max(1, round((bottom - top) / zoom))
        halvings = _halvings(zoom) if self._large else 0
        part = _reduced(self.image[top:bottom, left:right], halvings)
        if part.shape[1::-1] != size_wh:
            flags = cv2.INTER_AREA if zoom > 2 << halvings else cv2.INTER_LINEAR
            part = np.asarray(cv2.resize(part, size_wh, interpolation=flags), np.uint8)
        return in_colour(part)

    def _surroundings(self, x: float, y: float, side: float, number: int) -> tuple[Image, int, int]:
        """Return a grey picture, halved `number` times, that contains a square of the frame, and its position there.

        It is the full level; of a large frame, it is only the part around the square.
        """
        if not self._large:
            return self.level(number), 0, 0
        grid, reach = 1 << number, side / 2 + (2 << number)
        (left, right), (top, bottom) = (
            (max(0, min(int((centre - reach) / grid), length // grid - 1)),
             max(1, min(int((centre + reach) / grid) + 1, length // grid)))
            for centre, length in zip((x, y), self.size_wh, strict=True)
        )  # fmt: skip
        part = self.image[top * grid : bottom * grid, left * grid : right * grid]
        # The last halving is a separate step, so that each pixel is the mean of up to 16: templates need more detail
        # than searches.
        last = min(number, 1)
        return _reduced(in_grey(_reduced(part, number - last)), last), left, top


def _halvings(shrink: float) -> int:
    """Return the number of halvings after which the remaining factor is below 2."""
    return max(0, int(np.log2(shrink))) if shrink >= 2 else 0


def _reduced(image: Image, halvings: int) -> Image:
    """Return a picture reduced in one step, each pixel the mean of at most four."""
    if not halvings:
        return image
    return _resized(image, (max(1, image.shape[1] >> halvings), max(1, image.shape[0] >> halvings)))


def _resized(image: Image, size_wh: tuple[int, int]) -> Image:
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_LINEAR), np.uint8)
