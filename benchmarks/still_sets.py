"""Pictures with known faces for the benchmark of pictures: photographs with and without faces, frames, pasted faces.

The photographs come from scikit-image (`pip install scikit-image`), which needs no network for them; more can be given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeinfer.results import Box, Image
from edgeinfer.sources.video_suffix import has_video_suffix

FACELESS = (
    "brick", "chelsea", "clock_motion", "coffee", "coins", "color", "grass", "gravel", "horse", "hubble_deep_field",
    "ihc", "moon", "motorcycle_left", "page", "retina", "rocket", "text",
)  # fmt: skip
"""Pictures of scikit-image without a human face."""
BACKGROUNDS = ("brick", "chelsea", "coffee", "coins", "grass", "gravel", "ihc", "motorcycle_left", "rocket")
"""Pictures of scikit-image on which faces are pasted."""
SMALLEST = 24
"""Side of the smallest face that counts, in pixels."""

FindFaces = Callable[[Image], list[Box]]


@dataclass(frozen=True, slots=True)
class Still:
    """A picture with its faces.

    Attributes:
        kind: Name of the set.
        image: (H, W, 3) uint8 BGR.
        faces: Faces to find.
        ignored: Regions in which a box is neither right nor wrong: faces that are too small or upside down.
    """

    kind: str
    image: Image
    faces: tuple[Box, ...] = ()
    ignored: tuple[Box, ...] = field(default=())


def make_stills(
    find_faces: FindFaces, faces: Sequence[Image], sources: Iterable[Path], seed: int, repeats: int = 4
) -> Iterator[Still]:
    """Yield the pictures of all sets.

    Args:
        find_faces: Reference that finds the faces in photographs and frames.
        faces: (48, 48) grey faces to paste; none to leave out that set.
        sources: Photographs and clips with faces.
        seed: Seed of all random choices.
        repeats: Number of variants of each photograph, of frames per clip in tens, and of pasted pictures in forties.
    """
    random = np.random.default_rng(seed)
    for name in FACELESS:
        yield from _without_faces(_scikit_image(name), random, repeats)
    photographs = {"astronaut": _scikit_image("astronaut")}
    for path in sources:
        if has_video_suffix(path):
            yield from _frames(path, find_faces, 10 * repeats)
        else:
            photographs[path.stem] = _readable(cv2.imread(str(path)), path)
    for photograph in photographs.values():
        yield from _with_faces(photograph, find_faces, random, 2 * repeats)
        yield from _upside_down(photograph, find_faces, random)
    for _ in range(40 * repeats if len(faces) else 0):
        yield _pasted(faces, random)


def _scikit_image(name: str) -> Image:
    import skimage  # noqa: PLC0415 - not part of the development environment

    folder = Path(skimage.__file__).parent / "data"
    path = next(path for path in (folder / f"{name}.png", folder / f"{name}.jpg") if path.is_file())
    image = _readable(cv2.imread(str(path)), path)
    return _zoomed(image, min(1.0, 1000 / max(image.shape)))


def _readable(image: object, path: Path) -> Image:
    if image is None:
        raise SystemExit(f"{path} is not a readable picture")
    return np.asarray(image, np.uint8)


def _zoomed(image: Image, zoom: float) -> Image:
    method = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=method), np.uint8)


def _scaled(box: Box, zoom: float) -> Box:
    return Box(*(round(zoom * value) for value in box.xywh))


def _split(kind: str, image: Image, found: Iterable[Box]) -> Still:
    """Return a still in which faces below the smallest size are ignored."""
    faces = tuple(found)
    small = tuple(face for face in faces if min(face.w, face.h) < SMALLEST)
    return Still(kind, image, tuple(face for face in faces if face not in small), small)


def _without_faces(image: Image, random: np.random.Generator, repeats: int) -> Iterator[Still]:
    for turns in range(repeats):
        turned = np.ascontiguousarray(np.rot90(image, turns))
        yield Still("photographs without faces", _zoomed(turned, random.uniform(0.6, 1.8)))


def _with_faces(image: Image, find_faces: FindFaces, random: np.random.Generator, repeats: int) -> Iterator[Still]:
    for index in range(repeats):
        picture = image if index % 2 else np.ascontiguousarray(image[:, ::-1])
        height, width = picture.shape[:2]
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), random.uniform(-20, 20), 1)
        rolled = np.asarray(cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REFLECT), np.uint8)
        zoom = random.uniform(0.25, 1.0)
        yield _split(
            "photographs with faces", _zoomed(rolled, zoom), (_scaled(face, zoom) for face in find_faces(rolled))
        )


def _upside_down(image: Image, find_faces: FindFaces, random: np.random.Generator) -> Iterator[Still]:
    """Yield a photograph turned by 180 degrees, in which no face is expected."""
    height, width = image.shape[:2]
    zoom = random.uniform(0.4, 1.0)
    faces = (Box(width - box.x - box.w, height - box.y - box.h, box.w, box.h) for box in find_faces(image))
    ignored = tuple(_scaled(face, zoom) for face in faces)
    yield Still("photographs upside down", _zoomed(np.ascontiguousarray(image[::-1, ::-1]), zoom), (), ignored)


def _frames(path: Path, find_faces: FindFaces, count: int) -> Iterator[Still]:
    capture = cv2.VideoCapture(str(path))
    step = max(1, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) // count)
    index = 0
    while capture.grab():
        if index % step == 0:
            image = _readable(capture.retrieve()[1], path)
            yield _split(f"frames of {path.stem}", image, find_faces(image))
        index += 1


def _pasted(faces: Sequence[Image], random: np.random.Generator) -> Still:
    """Return a picture of 800x600 with up to three pasted faces of 24 to 300 pixels, rolled, blurred and dimmed."""
    background = np.rot90(_scikit_image(str(random.choice(BACKGROUNDS))), int(random.integers(4)))
    canvas = cv2.resize(np.ascontiguousarray(background), (800, 600)).astype(np.float32)
    boxes: list[Box] = []
    for _ in range(3):
        side = int(np.exp(random.uniform(np.log(24), np.log(300))))
        face, mask = _varied(faces[int(random.integers(len(faces)))], side, random)
        box = Box(int(random.integers(800 - side)), int(random.integers(600 - side)), side, side)
        if any(box.iou(other) > 0 for other in boxes):
            continue
        part = canvas[box.y : box.y + side, box.x : box.x + side]
        part[:] = mask * face[..., None] + (1 - mask) * part
        boxes.append(box)
    canvas += random.normal(0, random.uniform(0, 5), canvas.shape)
    return Still("pasted faces", np.clip(canvas, 0, 255).astype(np.uint8), tuple(boxes))


def _varied(face: Image, side: int, random: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a face of another size, roll, sharpness and contrast, (side, side), and its mask, (side, side, 1)."""
    method = cv2.INTER_CUBIC if side > face.shape[0] else cv2.INTER_AREA
    varied: NDArray[Any] = cv2.resize(face, (side, side), interpolation=method).astype(np.float32)
    if random.random() < 0.3:
        varied = cv2.GaussianBlur(varied, (0, 0), side / 48 * random.uniform(0.3, 1.0))
    dimmed = np.clip(128 + random.uniform(0.4, 1.1) * (varied - 128) + random.normal(0, 20), 0, 255)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    mask = np.clip((1.02 - (x**4 + y**4) ** 0.25) / 0.08, 0, 1)
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), random.normal(0, 8), 0.9)
    rolled = cv2.warpAffine(dimmed, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(rolled), np.asarray(cv2.warpAffine(mask, matrix, (side, side)))[..., None]
