"""Shows a result on its picture."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from edgeinfer.results import Box, Face, Image, Result

_COLOURS: dict[str, tuple[int, int, int]] = {
    "neutral": (200, 200, 200),
    "happy": (80, 200, 255),
    "surprise": (255, 180, 60),
    "sad": (220, 120, 60),
    "angry": (70, 70, 235),
    "disgust": (90, 170, 60),
    "fear": (200, 90, 180),
    "contempt": (130, 150, 170),
}
_OTHER = (240, 240, 240)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
COVERED_S, COVERED_REACH, MOSAIC = 1.0, 0.25, 6
"""How long a place stays covered, how far beyond the box, as a share of its side, and by how many tiles a side."""


def annotate(image: Image, result: Result) -> Image:
    """Draw each face's box, number, expression and confidence.

    Args:
        image: (H, W, 3) BGR or (H, W) grey uint8; it is not changed.
        result: what the pipeline gave for it.

    Returns:
        A new (H, W, 3) BGR uint8 picture.
    """
    picture = image.copy() if image.ndim == 3 else np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
    for face in result.faces:
        _draw(picture, face)
    return picture


class FaceBlur:
    """Makes faces unrecognizable before a picture leaves the program.

    A face's place stays covered for a second after it was last seen, since a turned face is missed now and then; one
    that was never found is not covered.
    """

    def __init__(self) -> None:
        """Start without any face."""
        self._places: dict[int, tuple[Box, float]] = {}

    def places(self, result: Result) -> tuple[Box, ...]:
        """The boxes to cover in a frame, which is to be told of every one."""
        now_s = result.timestamp_s
        self._places |= {face.track_id: (face.box, now_s) for face in result.faces}
        self._places = {n: place for n, place in self._places.items() if 0 <= now_s - place[1] <= COVERED_S}
        return tuple(box for box, _ in self._places.values())

    def __call__(self, image: Image, result: Result) -> Image:
        """A copy in which every face is covered; see `places` and `cover`."""
        return cover(image, self.places(result))


def cover(image: Image, places: Iterable[Box]) -> Image:
    """A copy in which every place is a coarse mosaic of the means of its parts.

    Args:
        image: (H, W, 3) BGR or (H, W) grey uint8; it is not changed.
        places: boxes of faces; a quarter of their side around them is covered, too.
    """
    picture = image.copy()
    for box in places:
        reach = round(COVERED_REACH * max(box.w, box.h))
        left, top, right, bottom = box.xyxy
        part = picture[max(0, top - reach) : bottom + reach, max(0, left - reach) : right + reach]
        if part.size:
            coarse = cv2.resize(part, (MOSAIC, MOSAIC), interpolation=cv2.INTER_AREA)
            part[:] = cv2.resize(coarse, part.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return picture


def _draw(picture: Image, face: Face) -> None:
    height, width = picture.shape[:2]
    scale = max(0.35, min(1.2, face.box.w / 220))
    line = max(1, round(2 * scale))
    colour = _COLOURS.get(face.emotion.label, _OTHER)
    left, top, right, bottom = face.box.xyxy
    cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), colour, line, cv2.LINE_AA)
    text = f"{face.track_id} {face.emotion.label} {face.emotion.confidence:.0%}"
    (wide, high), below = cv2.getTextSize(text, _FONT, scale, line)
    x = max(0, min(left, width - wide - 4))
    y = top - below - 2 if top - high - below - 4 >= 0 else min(bottom + high + 4, height - below - 1)
    cv2.rectangle(picture, (x, y - high - 3), (x + wide + 4, y + below), colour, cv2.FILLED)
    cv2.putText(picture, text, (x + 2, y - 1), _FONT, scale, (20, 20, 20), line, cv2.LINE_AA)
