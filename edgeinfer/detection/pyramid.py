"""Image pyramid: one frame at the sizes that detection and tracking need, each computed once."""

from __future__ import annotations

import cv2
import numpy as np

from edgeinfer.results import Image

MAX_GREY_SIDE = 720
"""Shorter side above which frames are halved before all other steps, in pixels; their faces are large enough."""


class Pyramid:
    """A frame and its grey pictures of decreasing size.

    Attributes:
        image: (H, W, 3) BGR or (H, W) grey uint8; it is not modified.
    """

    def __init__(self, image: Image) -> None:
        """Wrap a frame; the pictures are computed when first used."""
        self.image = image
        self._levels: dict[int, Image] = {}
        self._reduced: Image | None = None
        self._first = 0
        while min(image.shape[:2]) >> self._first > MAX_GREY_SIDE:
            self._first += 1

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the frame in pixels."""
        return self.image.shape[1], self.image.shape[0]

    def level(self, number: int) -> Image:
        """Return the grey frame halved `number` times, (H, W) uint8; frames above `MAX_GREY_SIDE` start smaller."""
        number = max(number, self._first)
        if number not in self._levels:
            self._levels[number] = _halved(self.level(number - 1)) if number > self._first else self._base()
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
        source = self.level(_halvings(min(self.size_wh) / 36))
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
        number = max(_halvings(side / pixels), self._first)
        source = self.level(number)
        shrink = 2**number
        step = side / pixels / shrink
        left = (x + 0.5) / shrink - 0.5 - step * (pixels - 1) / 2
        top = (y + 0.5) / shrink - 0.5 - step * (pixels - 1) / 2
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
        shift = self._first if zoom >= 1 << self._first else 0
        source = self._base_colours() if shift else self.image
        part = source[top >> shift : max(bottom >> shift, (top >> shift) + 1),
                      left >> shift : max(right >> shift, (left >> shift) + 1)]  # fmt: skip
        if part.shape[1::-1] != size_wh:
            flags = cv2.INTER_AREA if zoom > 2 << shift else cv2.INTER_LINEAR
            part = np.asarray(cv2.resize(part, size_wh, interpolation=flags), np.uint8)
        return in_colour(part)

    def _base(self) -> Image:
        """Compute the largest grey picture."""
        picture = self._base_colours()
        return picture if picture.ndim == 2 else np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)

    def _base_colours(self) -> Image:
        """Return the frame, reduced if it is above `MAX_GREY_SIDE`."""
        if not self._first:
            return self.image
        if self._reduced is None:
            width, height = self.size_wh
            self._reduced = _resized(self.image, (width >> self._first, height >> self._first))
        return self._reduced


def in_colour(image: Image) -> Image:
    """Return a (H, W, 3) BGR or (H, W) grey uint8 image as BGR."""
    return image if image.ndim == 3 else np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)


def _halvings(shrink: float) -> int:
    """Return the number of halvings after which the remaining factor is below 2."""
    return max(0, int(np.log2(shrink))) if shrink >= 2 else 0


def _halved(image: Image) -> Image:
    return _resized(image, (max(1, image.shape[1] // 2), max(1, image.shape[0] // 2)))


def _resized(image: Image, size_wh: tuple[int, int]) -> Image:
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_LINEAR), np.uint8)
