"""Network that finds white squares, and pictures of such squares."""

from __future__ import annotations

import cv2
import numpy as np

from edgeinfer.detection.yunet_network import Detection
from edgeinfer.results import Image


class MarkNetwork:
    """Network that finds white squares, and records the size and the lowest score of each call."""

    def __init__(self) -> None:
        self.calls: list[tuple[tuple[int, ...], float]] = []

    def detect(self, picture: Image, min_score: float) -> list[Detection]:
        self.calls.append((picture.shape[:2], min_score))
        count, _, boxes, _ = cv2.connectedComponentsWithStats((picture[:, :, 0] > 127).astype(np.uint8))
        return [Detection(tuple(float(n) for n in boxes[k, :4]), 0.9, ()) for k in range(1, count)]  # type: ignore[arg-type]


def marked_picture(size_wh: tuple[int, int], *marks: tuple[int, int, int]) -> Image:
    """Return a black picture with white squares, each given as left, top and side in pixels."""
    image = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    for x, y, side in marks:
        image[y : y + side, x : x + side] = 255
    return image
