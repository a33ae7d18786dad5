"""Synthetic video with ground truth: faces that move over a textured background."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import cv2
import numpy as np

from edgeinfer.results import Box, Image

FACE = (77, 55, 112, 112)
"""Bounding box of the face in the portrait, xywh."""
Move = Callable[[float], tuple[float, float, float] | None]
"""Function from seconds to the centre (x, y) and side of a face in pixels, or None while it is out of view."""


def texture(seed: int, size_wh: tuple[int, int] = (480, 270), level: int = 110) -> Image:
    """Return a background without faces."""
    random = np.random.default_rng(seed)
    coarse = random.normal(level, 35, (size_wh[1] // 30, size_wh[0] // 30, 3)).astype(np.float32)
    return np.clip(cv2.resize(coarse, size_wh, interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


def darker(portrait: Image) -> Image:
    """Return the portrait mirrored and darker, as a second face."""
    return np.asarray((portrait[:, ::-1].astype(np.float32) / 255) ** 1.8 * 200, np.uint8)


class World:
    """Faces over a background; later faces cover earlier ones.

    Attributes:
        ground: (H, W, 3) uint8 background; may be replaced to simulate a cut.
    """

    def __init__(self, heads: Mapping[str, tuple[Image, Move]], ground: Image, *, noise: float = 3.0) -> None:
        self._heads, self.ground, self._noise = heads, ground, noise
        self._random = np.random.default_rng(0)

    def at(self, seconds: float) -> tuple[Image, dict[str, Box]]:
        """Return the frame at a time and the true boxes by name."""
        frame, truth = self.ground.astype(np.float32), {}
        for name, (portrait, move) in self._heads.items():
            pose = move(seconds)
            if pose is not None:
                truth[name] = _paste(frame, portrait, *pose)
        frame += self._random.normal(0, self._noise, frame.shape[:2])[:, :, None]
        return np.clip(frame, 0, 255).astype(np.uint8), truth

    def play(
        self, seconds: float, *, fps: float = 30.0, start_s: float = 0.0
    ) -> Iterator[tuple[float, Image, dict[str, Box]]]:
        """Yield time, frame and true boxes at a fixed frame rate."""
        for index in range(round(seconds * fps)):
            now_s = start_s + index / fps
            yield now_s, *self.at(now_s)


def _paste(frame: np.ndarray[tuple[int, ...], np.dtype[np.float32]], portrait: Image, x: float, y: float,
           side: float) -> Box:  # fmt: skip
    left, top, wide, high = FACE
    zoom = side / wide
    mask = np.zeros(portrait.shape[:2], np.float32)
    cv2.ellipse(mask, (left + wide // 2, top + high // 2), (int(0.62 * wide), int(0.75 * high)), 0, 0, 360, 1.0, -1)
    mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), 4), np.float32)
    place = np.array([[zoom, 0, x - zoom * (left + wide / 2)], [0, zoom, y - zoom * (top + high / 2)]])
    size = (frame.shape[1], frame.shape[0])
    small = cv2.GaussianBlur(portrait, (0, 0), max(0.1, 0.4 / zoom)) if zoom < 1 else portrait
    weight = cv2.warpAffine(mask, place, size)[:, :, None]
    frame[:] = frame * (1 - weight) + cv2.warpAffine(small, place, size) * weight
    return Box(round(x - side / 2), round(y - side / 2), round(side), round(side))
