"""Role and settings of a video encoder, and the fitting of pictures to the size of a video."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from edgeinfer.results import Image


@dataclass(frozen=True, slots=True)
class VideoSettings:
    """Settings of an annotated video.

    Attributes:
        path: Path of the video; its suffix is one of `video_formats.SUFFIXES`.
        size_wh: Width and height of the first picture in pixels.
        fps: Nominal frame rate of the source in frames per second, or None if it is unknown.
        live: True if the source delivers in real time.
        threads: Number of threads of the encoder, or None for a number that suits the source.
    """

    path: Path
    size_wh: tuple[int, int]
    fps: float | None
    live: bool
    threads: int | None = None


class VideoEncoder(Protocol):
    """Role of a video file that is being written."""

    def add(self, time_s: float, picture: Image) -> None:
        """Show a picture from its timestamp onwards.

        Args:
            time_s: Presentation time in the source, in seconds.
            picture: (H, W, 3) BGR uint8 array; a size other than that of the first picture is fitted.

        Raises:
            OutputError: The file cannot be written.
        """

    def close(self) -> None:
        """Finish the file.

        Raises:
            OutputError: The file cannot be written, or it is incomplete.
        """


def fit(picture: Image, size_wh: tuple[int, int]) -> Image:
    """Crop a picture that is at most one pixel too large, or scale another one, with black bars at the sides."""
    height, width = picture.shape[:2]
    if width - size_wh[0] in (0, 1) and height - size_wh[1] in (0, 1):
        return picture[: size_wh[1], : size_wh[0]]
    scale = min(size_wh[0] / width, size_wh[1] / height)
    scaled_w, scaled_h = max(1, int(width * scale)), max(1, int(height * scale))
    x, y = (size_wh[0] - scaled_w) // 2, (size_wh[1] - scaled_h) // 2
    canvas = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    canvas[y : y + scaled_h, x : x + scaled_w] = cv2.resize(picture, (scaled_w, scaled_h), interpolation=cv2.INTER_AREA)
    return canvas
