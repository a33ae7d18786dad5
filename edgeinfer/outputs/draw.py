"""Drawing of results on frames, and blurring of faces."""

from __future__ import annotations

import re
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
_DEFAULT_COLOUR = (240, 240, 240)
_LABEL_CHARACTERS = 40
_FONT = cv2.FONT_HERSHEY_SIMPLEX
BLUR_HOLD_S = 1.0
"""Time for which a region stays blurred after its face was last detected, in seconds."""
BLUR_MARGIN = 0.25
"""Margin around a box that is blurred too, as a share of the box's longer side."""
MOSAIC_TILES = 6
"""Tiles of the mosaic per side."""


def annotate(image: Image, result: Result) -> Image:
    """Draw the bounding box, track id, label and confidence of each face.

    Args:
        image: (H, W, 3) BGR or (H, W) grey uint8 array; it is not changed.
        result: Result of the pipeline for this image.

    Returns:
        A new (H, W, 3) BGR uint8 array.

    Examples:
        >>> import numpy as np
        >>> import edgeinfer
        >>> happy = edgeinfer.Emotion("happy", 0.9, {"happy": 0.9, "neutral": 0.1})
        >>> face = edgeinfer.Face(track_id=1, box=edgeinfer.Box(40, 40, 60, 60), emotion=happy, raw=happy)
        >>> image = np.zeros((120, 160), np.uint8)
        >>> edgeinfer.annotate(image, edgeinfer.Result((face,), timestamp_s=0.0)).shape
        (120, 160, 3)
    """
    picture = image.copy() if image.ndim == 3 else np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
    for face in result.faces:
        _draw(picture, face)
    return picture


class FaceBlur:
    """Stateful face blur for annotated output.

    A region stays blurred for a second after its face was last detected, because detection of a turned face is
    intermittent. A face that was never detected is not blurred.
    """

    def __init__(self) -> None:
        """Create a blur without faces."""
        self._last_seen: dict[int, tuple[Box, float]] = {}

    def regions(self, result: Result) -> tuple[Box, ...]:
        """Return the boxes to cover in a frame; this must be called for every frame."""
        now_s = result.timestamp_s
        self._last_seen |= {face.track_id: (face.box, now_s) for face in result.faces}
        self._last_seen = {
            track_id: seen for track_id, seen in self._last_seen.items() if 0 <= now_s - seen[1] <= BLUR_HOLD_S
        }
        return tuple(box for box, _ in self._last_seen.values())

    def __call__(self, image: Image, result: Result) -> Image:
        """Return a copy in which every face is covered; see `regions` and `cover`."""
        return cover(image, self.regions(result))


def cover(image: Image, regions: Iterable[Box]) -> Image:
    """Return a copy in which each region is replaced by a coarse mosaic of its mean colours.

    Args:
        image: (H, W, 3) BGR or (H, W) grey uint8 array; it is not changed.
        regions: Boxes of faces; a margin of a quarter of the longer side is covered too.
    """
    picture = image.copy()
    for box in regions:
        margin = round(BLUR_MARGIN * max(box.w, box.h))
        left, top, right, bottom = box.xyxy
        part = picture[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin]
        if part.size:
            coarse = cv2.resize(part, (MOSAIC_TILES, MOSAIC_TILES), interpolation=cv2.INTER_AREA)
            part[:] = cv2.resize(coarse, part.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return picture


def _draw(picture: Image, face: Face) -> None:
    height, width = picture.shape[:2]
    scale = max(0.35, min(1.2, face.box.w / 220))
    thickness = max(1, round(2 * scale))
    colour = _COLOURS.get(face.emotion.label, _DEFAULT_COLOUR)
    left, top, right, bottom = face.box.xyxy
    cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), colour, thickness, cv2.LINE_AA)
    text = f"{face.track_id} {_drawable(face.emotion.label)} {face.emotion.confidence:.0%}"
    (text_w, text_h), baseline = cv2.getTextSize(text, _FONT, scale, thickness)
    x = max(0, min(left, width - text_w - 4))
    above = top - text_h - baseline - 4 >= 0
    y = top - baseline - 2 if above else min(bottom + text_h + 4, height - baseline - 1)
    cv2.rectangle(picture, (x, y - text_h - 3), (x + text_w + 4, y + baseline), colour, cv2.FILLED)
    cv2.putText(picture, text, (x + 2, y - 1), _FONT, scale, (20, 20, 20), thickness, cv2.LINE_AA)


def _drawable(label: str) -> str:
    """Return a label reduced to the characters of OpenCV's font, at most `_LABEL_CHARACTERS` of them."""
    return re.sub(r"[^ -~]", "?", label[:_LABEL_CHARACTERS])
