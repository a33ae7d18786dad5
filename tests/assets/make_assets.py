"""Makes the demo clip and the small files that the tests read, from a photograph in the public domain.

    pip install scikit-image
    python tests/assets/make_assets.py

The photograph is NASA's portrait of the astronaut Eileen Collins (1999), `skimage.data.astronaut()`. A window moves
and zooms over it, which makes a clip whose face wanders, grows and shrinks.
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
    """The photograph, (512, 512, 3) BGR uint8."""
    from skimage import data

    return np.ascontiguousarray(data.astronaut()[:, :, ::-1])


def view(picture: NDArray[np.uint8], seconds: float, size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """What the window shows at a time, (h, w, 3) BGR uint8; it never leaves the photograph."""
    width, height = size_wh
    wide = 330 + 110 * math.cos(2 * math.pi * seconds / 5)
    high = wide * height / width
    left = np.clip(FACE_XY[0] - wide / 2 + 0.17 * wide * math.sin(2 * math.pi * seconds / 3), 0, 512 - wide)
    top = np.clip(FACE_XY[1] - 0.45 * high + 0.06 * high * math.cos(2 * math.pi * seconds / 2), 0, 512 - high)
    zoom = width / wide
    shift = np.array([[zoom, 0, -zoom * left], [0, zoom, -zoom * top]])
    return np.asarray(cv2.warpAffine(picture, shift, size_wh, flags=cv2.INTER_LINEAR), dtype=np.uint8)


def write_clip(path: Path, size_wh: tuple[int, int], frames: int) -> None:
    """Write the moving view as MPEG-4."""
    picture = portrait()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, size_wh)
    if not writer.isOpened():
        raise SystemExit(f"cannot write {path}")
    for index in range(frames):
        writer.write(view(picture, index / FPS, size_wh))
    writer.release()


if __name__ == "__main__":
    write_clip(DEMO, (640, 360), 5 * FPS)
    write_clip(ASSETS / "clip.mp4", (320, 240), FPS)
    cv2.imwrite(str(ASSETS / "face.jpg"), portrait()[0:256, 96:352], [cv2.IMWRITE_JPEG_QUALITY, 85])
