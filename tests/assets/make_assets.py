"""Creation of the demo clip and the test files from a photograph in the public domain.

    pip install scikit-image
    python tests/assets/make_assets.py

The photograph is NASA's portrait of the astronaut Eileen Collins (1999), `skimage.data.astronaut()`. The clip is a
window that moves and zooms over it, so that the face changes position and size.
"""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

ASSETS = Path(__file__).parent
DEMO = ASSETS.parents[1] / "edgeinfer" / "assets" / "demo.mp4"
FPS = 25
FACE_XY = (222, 110)
"""Centre of the face in the 512x512 photograph, in pixels."""


def portrait() -> NDArray[np.uint8]:
    """Return the photograph as a (512, 512, 3) BGR uint8 array."""
    from skimage import data

    return np.ascontiguousarray(data.astronaut()[:, :, ::-1])


def crop_window(picture: NDArray[np.uint8], seconds: float, size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the content of the window at a time as an (h, w, 3) BGR uint8 array. It stays inside the photograph."""
    width, height = size_wh
    window_w = 330 + 110 * math.cos(2 * math.pi * seconds / 5)
    window_h = window_w * height / width
    left = np.clip(FACE_XY[0] - window_w / 2 + 0.17 * window_w * math.sin(2 * math.pi * seconds / 3), 0, 512 - window_w)
    top = np.clip(
        FACE_XY[1] - 0.45 * window_h + 0.06 * window_h * math.cos(2 * math.pi * seconds / 2), 0, 512 - window_h
    )
    zoom = width / window_w
    shift = np.array([[zoom, 0, -zoom * left], [0, zoom, -zoom * top]])
    return np.asarray(cv2.warpAffine(picture, shift, size_wh, flags=cv2.INTER_LINEAR), dtype=np.uint8)


def write_clip(path: Path, size_wh: tuple[int, int], frames: int) -> None:
    """Write the moving window as MPEG-4 video."""
    picture = portrait()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, size_wh)
    if not writer.isOpened():
        raise SystemExit(f"cannot write {path}")
    for index in range(frames):
        writer.write(crop_window(picture, index / FPS, size_wh))
    writer.release()


if __name__ == "__main__":
    write_clip(DEMO, (640, 360), 5 * FPS)
    write_clip(ASSETS / "clip.mp4", (320, 240), FPS)
    cv2.imwrite(str(ASSETS / "face.jpg"), portrait()[0:256, 96:352], [cv2.IMWRITE_JPEG_QUALITY, 85])
