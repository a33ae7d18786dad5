"""One frame at the sizes that finding and following need, each made once."""

from __future__ import annotations

import cv2
import numpy as np

from edgeinfer.results import Image

LARGEST_GREY = 720
"""Shorter side above which a frame is halved before anything looks at it, in pixels. A face is far larger there."""


class Pyramid:
    """A frame and its grey pictures.

    Attributes:
        image: (H, W, 3) BGR or (H, W) grey uint8; it is not changed.
    """

    def __init__(self, image: Image) -> None:
        """Take a frame; nothing is computed yet."""
        self.image = image
        self._levels: dict[int, Image] = {}
        self._first = 0
        while min(image.shape[:2]) >> self._first > LARGEST_GREY:
            self._first += 1

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.shape[1], self.image.shape[0]

    def level(self, number: int) -> Image:
        """The grey frame halved so many times, (H, W) uint8; of a large frame the full size is not made."""
        number = max(number, self._first)
        if number not in self._levels:
            self._levels[number] = _halved(self.level(number - 1)) if number > self._first else self._base()
        return self._levels[number]

    def shrunk(self, side: int) -> Image:
        """The grey frame with this shorter side, or at its own size where that is less; (h, w) uint8."""
        shrink = min(self.size_wh) / side
        if shrink <= 1:
            return self.level(0)
        wide, high = self.size_wh
        return _resized(self.level(_halvings(shrink)), (max(1, round(wide / shrink)), max(1, round(high / shrink))))

    def thumbnail(self, size_wh: tuple[int, int]) -> Image:
        """The grey frame at a much smaller size, every pixel the mean of what it covers; (h, w) uint8."""
        source = self.level(_halvings(min(self.size_wh) / 36))
        return np.asarray(cv2.resize(source, size_wh, interpolation=cv2.INTER_AREA), np.uint8)

    def patch(self, x: float, y: float, side: float, pixels: int) -> Image:
        """A square around a point; what lies outside the frame repeats its edge.

        Args:
            x: centre in pixels of the frame.
            y: centre.
            side: of the square in pixels of the frame, more than 0.
            pixels: side of the result.

        Returns:
            (pixels, pixels) uint8.
        """
        number = max(_halvings(side / pixels), self._first)
        source = self.level(number)
        shrink = 2**number
        step = side / pixels / shrink
        left = (x + 0.5) / shrink - 0.5 - step * (pixels - 1) / 2
        top = (y + 0.5) / shrink - 0.5 - step * (pixels - 1) / 2
        place = np.array([[step, 0.0, left], [0.0, step, top]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        done = cv2.warpAffine(source, place, (pixels, pixels), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(done, np.uint8)

    def _base(self) -> Image:
        picture = self.image
        if self._first:
            wide, high = self.size_wh
            picture = _resized(picture, (wide >> self._first, high >> self._first))
        return picture if picture.ndim == 2 else np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)


def _halvings(shrink: float) -> int:
    """How often to halve so that less than a factor of two is left."""
    return max(0, int(np.log2(shrink))) if shrink >= 2 else 0


def _halved(image: Image) -> Image:
    return _resized(image, (max(1, image.shape[1] // 2), max(1, image.shape[0] // 2)))


def _resized(image: Image, size_wh: tuple[int, int]) -> Image:
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_LINEAR), np.uint8)
