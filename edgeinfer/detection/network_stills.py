"""Search of single pictures with a network: reduced for large faces, and in tiles of finer pictures for small ones."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import cv2
import numpy as np

from edgeinfer.detection.network_search import FaceNetwork
from edgeinfer.detection.stills import without_duplicates
from edgeinfer.detection.yunet_network import Detection
from edgeinfer.pixels import in_colour
from edgeinfer.results import Box, Image
from edgeinfer.system import interrupts

SIDES = (320, 1280, 2560, 4096)
"""Longer sides to which a picture is reduced, in pixels; those above its own are replaced by its own, once. The largest
side limits the time and the number of false boxes: faces smaller than about 1/250 of the picture are not found."""
MAX_FACE_PIXELS = 300
"""Longer side of the largest face that counts, in pixels of a searched picture except the smallest. In larger faces,
the network finds only a part."""
TILE_PIXELS = 1280
"""Longest side of the part of a picture that is searched at once, which limits the memory."""
TILE_OVERLAP = 160
"""Overlap of neighbouring parts in pixels: larger faces are found in a more reduced picture."""


class NetworkStillSearch:
    """A network on a picture in several sizes; a face that is found in more than one has the box of its best score."""

    def __init__(self, network: FaceNetwork, *, min_score: float, min_size: int) -> None:
        """Create a search.

        Args:
            network: Network that finds the faces.
            min_score: Lowest score of a face, 0..1.
            min_size: Smallest side of a face in pixels of the picture.
        """
        self._network, self._min_score, self._min_size = network, min_score, min_size

    def detect(self, image: Image) -> list[Box]:
        """Return the bounding boxes of the faces in a picture, one per face, the highest score first.

        Args:
            image: (H, W, 3) BGR or (H, W) grey uint8.
        """
        height, width = image.shape[:2]
        found = sorted(self._find(image), key=lambda face: -face.score)
        boxes = (face.clipped(width, height) for face in found)
        return without_duplicates(box for box in boxes if min(box.w, box.h) >= self._min_size)

    def _find(self, image: Image) -> Iterator[Detection]:
        """Yield what the network finds in each size of the picture."""
        longest = max(image.shape[:2])
        for side in sorted({min(side, longest) for side in SIDES}):
            zoom = longest / side
            picture, limit = reduced(image, zoom), MAX_FACE_PIXELS if side > SIDES[0] else math.inf
            for left, top, part in _tiles(picture):
                interrupts.check()
                for face in self._network.detect(part, self._min_score):
                    if max(face.xywh[2:]) < limit and _is_whole(face, part, (left, top), picture):
                        yield face.mapped(zoom, zoom * left, zoom * top)


def reduced(image: Image, zoom: float) -> Image:
    """Return an image with the sides divided by `zoom`, 1 or more; the image itself for 1."""
    if zoom == 1:
        return image
    size_wh = max(1, round(image.shape[1] / zoom)), max(1, round(image.shape[0] / zoom))
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def _tiles(picture: Image) -> Iterator[tuple[int, int, Image]]:
    """Yield overlapping parts of a picture with their left and top, in colour; just one of a small picture."""
    height, width = picture.shape[:2]
    for top, left in itertools.product(_starts(height), _starts(width)):
        part = picture[top : top + TILE_PIXELS, left : left + TILE_PIXELS]
        yield left, top, in_colour(part)


def _starts(length: int) -> list[int]:
    """Return the starts of the parts of a length in pixels."""
    count = 1 + max(0, -((TILE_PIXELS - length) // (TILE_PIXELS - TILE_OVERLAP)))
    return [round(index * (length - TILE_PIXELS) / max(1, count - 1)) for index in range(count)]


def _is_whole(face: Detection, part: Image, corner: tuple[int, int], picture: Image) -> bool:
    """Return True if no edge of a part cuts a face off, except the edges of the picture.

    Args:
        face: Face in pixels of the part.
        part: Part of the picture.
        corner: Left and top of the part in pixels of the picture.
        picture: The picture.
    """
    x, y, w, h = face.xywh
    (left, top), (rows, columns), (height, width) = corner, part.shape[:2], picture.shape[:2]
    return (
        (x >= 0 or left == 0) and (x + w <= columns or left + columns == width)
        and (y >= 0 or top == 0) and (y + h <= rows or top + rows == height)
    )  # fmt: skip
