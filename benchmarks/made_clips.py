"""Generation of clips with ground truth from pictures of faces.

    python benchmarks/made_clips.py FOLDER PICTURE...

Heads are cut out of the pictures with a soft edge and moved over a blurred, textured background with sensor noise. In
other clips, a window pans over a whole picture. Each `NAME.mp4` has a `NAME.json` with a list of the visible faces per
frame, each as [number, x, y, w, h] in pixels.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeinfer import HaarDetector
from edgeinfer.results import Image

FPS = 30
NOISE = 4.0
"""Standard deviation of the sensor noise, in grey levels."""


@dataclass(frozen=True, slots=True)
class Head:
    """A face cut out of a picture.

    Attributes:
        image: (H, W, 3) uint8 BGR array.
        alpha: (H, W, 1) float32 opacity, 1 in the centre and 0 at the edge.
        box: Bounding box (x, y, w, h) of the face in the image, in pixels.
    """

    image: Image
    alpha: NDArray[Any]
    box: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Pose:
    """Position of a head in one frame.

    Attributes:
        x: Horizontal centre of the face in pixels.
        y: Vertical centre of the face in pixels.
        side: Side of the face in pixels.
        tilt: Rotation in degrees.
    """

    x: float
    y: float
    side: float
    tilt: float = 0.0


Move = Callable[[float], Pose | None]
"""Function from seconds to the pose of a head, or None while it is out of view."""


def cut_heads(picture: Image) -> list[Head]:
    """Return the frontal faces of a picture, from left to right."""
    heads = []
    for box in sorted(HaarDetector(min_neighbors=8, min_size=70).detect(picture), key=lambda box: box.x):
        left, top = max(0, box.x - box.w // 3), max(0, box.y - box.h // 2)
        image = picture[top : box.y + box.h * 4 // 3, left : box.x + box.w * 4 // 3]
        height, width = image.shape[:2]
        mask = np.zeros((height, width), np.float32)
        cv2.ellipse(mask, (width // 2, height // 2), (int(width * 0.42), int(height * 0.45)), 0, 0, 360, 1.0, -1)
        alpha = cv2.GaussianBlur(mask, (0, 0), width * 0.03)[:, :, None]
        heads.append(Head(image, alpha, (box.x - left, box.y - top, box.w, box.h)))
    return heads


def make_background(picture: Image, size_wh: tuple[int, int], seed: int) -> Image:
    """Return a background without faces: a strongly blurred picture with a random texture."""
    random = np.random.default_rng(seed)
    soft = cv2.GaussianBlur(cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA), (0, 0), size_wh[0] / 30)
    coarse = random.normal(0, 30, (size_wh[1] // 12 + 1, size_wh[0] // 12 + 1, 1)).astype(np.float32)
    texture = cv2.resize(coarse, size_wh, interpolation=cv2.INTER_CUBIC)[:, :, None]
    return np.asarray(np.clip(soft + texture, 0, 255), np.uint8)


def paste(frame: Image, head: Head, pose: Pose) -> tuple[int, int, int, int]:
    """Draw a head into a frame and return the bounding box of its face."""
    x, y, w, h = head.box
    zoom = pose.side / w
    transform: NDArray[Any] = cv2.getRotationMatrix2D((x + w / 2, y + h / 2), pose.tilt, zoom)
    transform[:, 2] += np.array([pose.x - x - w / 2, pose.y - y - h / 2])
    size = (frame.shape[1], frame.shape[0])
    source: NDArray[Any] = head.image
    alpha = head.alpha
    if zoom < 0.6:  # warpAffine would cause aliasing
        scale = 1.3 * zoom
        source = cv2.resize(source, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        alpha = cv2.resize(alpha, (source.shape[1], source.shape[0]))[:, :, None]
        transform[:, :2] /= scale
    moved = cv2.warpAffine(source, transform, size, flags=cv2.INTER_LINEAR)
    weight = cv2.warpAffine(alpha, transform, size)[:, :, None]
    frame[:] = np.clip(frame * (1 - weight) + moved * weight, 0, 255).astype(np.uint8)
    return round(pose.x - pose.side / 2), round(pose.y - pose.side / 2), round(pose.side), round(pose.side)


Truth = list[tuple[int, int, int, int, int]]
"""Number and bounding box (x, y, w, h) of each face in a frame."""


def compose(heads: list[Head], moves: list[Move], background: Image, seconds: float) -> Iterator[tuple[Image, Truth]]:
    """Yield frames of heads that move over a background, with later heads in front, and their ground truth."""
    for index in range(round(seconds * FPS)):
        frame, truth = background.copy(), []
        for number, (head, move) in enumerate(zip(heads, moves, strict=False)):
            pose = move(index / FPS)
            if pose is not None:
                truth.append((number, *paste(frame, head, pose)))
        yield frame, truth


def sway(x: float, y: float, side: float, amplitude: float = 30, period_s: float = 3.0) -> Move:
    """Return the movement of a head that stays in view: position, size and tilt oscillate."""

    def move(seconds: float) -> Pose:
        phase = 2 * math.pi * seconds / period_s
        return Pose(x + amplitude * math.sin(phase), y + amplitude / 3 * math.cos(1.7 * phase),
                    side * (1 + 0.2 * math.sin(0.6 * phase)), 6 * math.sin(0.8 * phase))  # fmt: skip

    return move


def stay(x: float, y: float, side: float) -> Move:
    """Return the movement of a head that does not move."""
    return lambda _: Pose(x, y, side)


def cross(start_x: float, end_x: float, y: float, side: float, seconds: float) -> Move:
    """Return the movement of a head that crosses the frame horizontally."""
    return lambda s: Pose(start_x + (end_x - start_x) * min(1.0, s / seconds), y, side)


def between(move: Move, start_s: float, end_s: float) -> Move:
    """Return a movement that is in view only between two times."""
    return lambda s: move(s) if start_s <= s < end_s else None


def hidden(move: Move, start_s: float, end_s: float) -> Move:
    """Return a movement that is out of view between two times."""
    return lambda s: None if start_s <= s < end_s else move(s)


def pan(picture: Image, size_wh: tuple[int, int], seconds: float) -> Iterator[tuple[Image, Truth]]:
    """Yield frames of a window that pans and zooms over a picture, and their ground truth."""
    picture_h, picture_w = picture.shape[:2]
    boxes = HaarDetector(min_neighbors=8, min_size=70).detect(picture)
    for index in range(round(seconds * FPS)):
        phase = 2 * math.pi * index / FPS / seconds
        width = min(picture_w, picture_h * size_wh[0] / size_wh[1]) * (0.8 + 0.15 * math.cos(phase))
        height = width * size_wh[1] / size_wh[0]
        left = (picture_w - width) * (0.5 + 0.4 * math.sin(phase * 2))
        top = (picture_h - height) * (0.25 + 0.2 * math.cos(phase))
        zoom = size_wh[0] / width
        source = cv2.resize(picture, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA) if zoom < 0.7 else picture
        scale = zoom * picture_w / source.shape[1]
        shift = np.array([[scale, 0, -zoom * left], [0, scale, -zoom * top]])
        truth = [(n, round((b.x - left) * zoom), round((b.y - top) * zoom), round(b.w * zoom), round(b.h * zoom))
                 for n, b in enumerate(boxes)]  # fmt: skip
        yield np.asarray(cv2.warpAffine(source, shift, size_wh), np.uint8), truth


def scenes(pictures: list[Image]) -> dict[str, Callable[[], Iterator[tuple[Image, Truth]]]]:
    """Return a function that generates the frames of each clip, by name."""
    heads = [head for picture in pictures for head in cut_heads(picture)]
    small, large = (640, 360), (960, 540)
    backgrounds = [make_background(pictures[n % len(pictures)], small, n) for n in range(4)]
    backgrounds.append(make_background(pictures[0], large, 9))
    h = (heads * 4)[:4]

    def cuts() -> Iterator[tuple[Image, Truth]]:
        for n in range(8):
            place = sway(120 + 130 * (n % 4), 130 + 20 * (n % 3), 80 + 15 * (n % 3), 10)
            for frame, truth in compose([(heads * 8)[n]], [place], backgrounds[n % 4], 1.0):
                yield frame, [(n, *face[1:]) for face in truth]

    clips: dict[str, Callable[[], Iterator[tuple[Image, Truth]]]] = {
        "one": lambda: compose(h[:1], [sway(320, 170, 110)], backgrounds[0], 6),
        "four": lambda: compose(h, [sway(100 + 145 * n, 130 + 40 * (n % 2), 70 + 8 * n, 18, 2 + n) for n in range(4)],
                            backgrounds[1], 6),
        "three540": lambda: compose(h[:3], [sway(180 + 290 * n, 250, 60 + 60 * n, 30, 2.5 + n) for n in range(3)],
                                    backgrounds[4], 6),
        "passing": lambda: compose(h[:2], [cross(60, 580, 170, 90, 4), cross(580, 60, 185, 95, 4)], backgrounds[2], 4),
        "hidden": lambda: compose(h[:2], [hidden(sway(200, 170, 90, 15), 2.0, 2.8), sway(450, 160, 80)],
                                  backgrounds[3], 5),
        "appear": lambda: compose(h[:3], [sway(120, 150, 70), between(sway(320, 190, 60), 1.5, 9),
                                      between(sway(520, 160, 80), 3, 9)], backgrounds[0], 5),
        "cuts": cuts,
        "still": lambda: compose(h, [stay(90 + 150 * n, 170, 60) for n in range(4)], backgrounds[1], 10),
    }  # fmt: skip
    for n, picture in enumerate(pictures):
        clips[f"pan{n}"] = partial(pan, picture, large if n % 2 else small, 6)
    return clips


def write(frames: Iterator[tuple[Image, Truth]], path: Path) -> None:
    """Add noise and write the frames as MPEG-4 and the ground truth as JSON."""
    random, writer, truths = np.random.default_rng(0), None, []
    noise = NOISE * (3 if path.stem == "still" else 1)
    for frame, truth in frames:
        size = (frame.shape[1], frame.shape[0])
        if writer is None:
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, size)
        grain = cv2.resize(random.normal(0, noise, (size[1], size[0])).astype(np.float32), size)[:, :, None]
        writer.write(np.clip(frame + grain, 0, 255).astype(np.uint8))
        truths.append(truth)
    if writer is None:
        raise SystemExit(f"no frames for {path}")
    writer.release()
    path.with_suffix(".json").write_text(json.dumps(truths), encoding="utf-8")


def make(folder: Path, pictures: list[Path]) -> list[Path]:
    """Write all clips that do not exist yet and return the paths of all clips."""
    folder.mkdir(parents=True, exist_ok=True)
    images = [np.asarray(cv2.imread(str(path)), np.uint8) for path in pictures]
    paths = []
    for name, frames in scenes(images).items():
        path = folder / f"{name}.mp4"
        if not path.with_suffix(".json").is_file():
            write(frames(), path)
        paths.append(path)
    return paths


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("pictures", type=Path, nargs="+")
    options = parser.parse_args()
    for clip in make(options.folder, options.pictures):
        print(clip)
