"""Drawing of results on frames, and blurring of faces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

import cv2
import numpy as np

from edgeinfer.outputs.palette import label_colours, text_colour
from edgeinfer.outputs.placement import Area, place_label
from edgeinfer.outputs.text import Bgr, draw_text, printable, text_width
from edgeinfer.pixels import check_image, in_colour
from edgeinfer.results import UNKNOWN, Box, Emotion, Face, Frame, Image, Result

LOW_CONFIDENCE = 0.5
"""Confidence below which a face is drawn with a thin dashed box and a translucent label, as `unknown` is."""
BLUR_HOLD_S = 1.0
"""Time for which a region stays blurred after its face was last detected, in seconds."""
BLUR_MARGIN = 0.25
"""Margin around a box that is blurred too, as a share of the box's longer side."""
MOSAIC_TILES = 6
"""Tiles of the mosaic per side."""

_MIN_TEXT, _SMALLEST_TEXT = 9, 6
"""Height of capital letters in pixels: the usual minimum, and the limit below which a label is shortened instead."""
_DASHES = 3
"""Dashes per side of a box of low confidence."""


def annotate(image: Image, result: Result, *, track_ids: bool = True) -> Image:
    """Draw the bounding box, track id, label and confidence of each face.

    Lines and text scale with the frame and the face. A face with low confidence (`LOW_CONFIDENCE`) has a dashed box and
    a translucent label. Labels stay inside the frame. They cover no other face and no other label if there is a free
    place; without one, and in a small frame, they lose the track id, then the confidence.

    Args:
        image: (H, W, 3) BGR or (H, W) grey uint8 array; it is not changed.
        result: Result of the pipeline for this image.
        track_ids: False to omit the track ids, which have no meaning in unrelated pictures.

    Returns:
        A new (H, W, 3) BGR uint8 array.

    Raises:
        UsageError: the image has an invalid shape or dtype.

    Examples:
        >>> import numpy as np
        >>> import edgeinfer
        >>> happy = edgeinfer.Emotion("happy", 0.9, {"happy": 0.9, "neutral": 0.1})
        >>> face = edgeinfer.Face(track_id=1, box=edgeinfer.Box(40, 40, 60, 60), emotion=happy, raw=happy)
        >>> image = np.zeros((120, 160), np.uint8)
        >>> edgeinfer.annotate(image, edgeinfer.Result((face,), timestamp_s=0.0)).shape
        (120, 160, 3)
    """
    check_image(image, "image")
    picture = in_colour(image.copy())
    draw_faces(picture, result, track_ids=track_ids)
    return picture


def draw_faces(picture: Image, result: Result, *, track_ids: bool = True) -> None:
    """Draw on a picture in place; see `annotate`.

    Args:
        picture: (H, W, 3) BGR uint8 array.
        result: Faces in pixels of the picture.
        track_ids: False to omit the track ids.
    """
    frame_wh = (picture.shape[1], picture.shape[0])
    drawn = [
        (face, *_look(face, frame_wh)) for face in result.faces if Area(*face.box.xyxy).inside(frame_wh).has_pixels
    ]
    for _, look, box in drawn:
        _draw_box(picture, box, look)
    boxes, labels = [box for *_, box in drawn], list[Area]()
    for number, (face, look, box) in enumerate(drawn):
        others = [*boxes[:number], *boxes[number + 1 :]]
        placed = _place_text(_texts(face, look.text_px, frame_wh, with_id=track_ids), box, others, labels, frame_wh)
        if placed is not None:
            text, area = placed
            labels.append(area)
            _draw_label(picture, area, text, look)


class FaceBlur:
    """Stateful face blur for annotated output.

    A region stays blurred for a second after its face was last detected, because detection of a turned face is
    intermittent. A face that was never detected is not blurred. Each picture is independent of those before it.
    """

    def __init__(self) -> None:
        """Create a blur without faces."""
        self._last_seen: dict[int, tuple[Box, float]] = {}

    def regions(self, frame: Frame, result: Result) -> tuple[Box, ...]:
        """Return the boxes to cover in a frame; this must be called for every frame."""
        if frame.picture is not None:
            return tuple(face.box for face in result.faces)
        now_s = result.timestamp_s
        self._last_seen |= {face.track_id: (face.box, now_s) for face in result.faces}
        self._last_seen = {
            track_id: seen for track_id, seen in self._last_seen.items() if 0 <= now_s - seen[1] <= BLUR_HOLD_S
        }
        return tuple(box for box, _ in self._last_seen.values())

    def __call__(self, frame: Frame, result: Result) -> Image:
        """Return a copy of the frame's image in which every face is covered; see `regions` and `cover`."""
        return cover(frame.image, self.regions(frame, result))


def cover(image: Image, regions: Iterable[Box]) -> Image:
    """Return a copy in which each region is replaced by a coarse mosaic of its mean colours.

    Args:
        image: (H, W, 3) BGR or (H, W) grey uint8 array; it is not changed.
        regions: Boxes of faces; a margin of a quarter of the longer side is covered too.
    """
    picture = image.copy()
    cover_regions(picture, regions)
    return picture


def cover_regions(picture: Image, regions: Iterable[Box]) -> None:
    """Replace regions of a picture in place; see `cover`."""
    for box in regions:
        margin = round(BLUR_MARGIN * max(box.w, box.h))
        left, top, right, bottom = box.xyxy
        part = picture[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin]
        if part.size:
            coarse = cv2.resize(part, (MOSAIC_TILES, MOSAIC_TILES), interpolation=cv2.INTER_AREA)
            part[:] = cv2.resize(coarse, part.shape[1::-1], interpolation=cv2.INTER_NEAREST)


class _Look(NamedTuple):
    """Style of one face.

    Attributes:
        colour: BGR colour of the box and the label.
        contrast: BGR colour of the text on it, black or white.
        line_px: Width of the box's line.
        edge_px: Width of each of the line's edges, which are drawn in the contrasting colour.
        text_px: Height of capital letters.
        faint: True for a low confidence.
    """

    colour: Bgr
    contrast: Bgr
    line_px: int
    edge_px: int
    text_px: int
    faint: bool


def _look(face: Face, frame_wh: tuple[int, int]) -> tuple[_Look, Area]:
    """Return the style of a face and the area of its outline, which stays inside the frame."""
    frame_px, face_px = min(frame_wh), min(face.box.w, face.box.h)
    faint = face.emotion.label == UNKNOWN or face.emotion.confidence < LOW_CONFIDENCE
    line_px = max(1, min(round(frame_px / 150), round(face_px / 16)))
    line_px = max(min(line_px, 2), line_px // 2) if faint else line_px
    smallest = max(_SMALLEST_TEXT, min(_MIN_TEXT, frame_px // 10), round(0.009 * frame_px))
    text_px = max(smallest, min(round(0.15 * face_px), round(0.035 * frame_px)))
    colours = _colours(face.emotion.label, tuple(face.emotion.probabilities))
    look = _Look(*colours, line_px, max(1, line_px // 3), text_px, faint)
    left, top, right, bottom = face.box.xyxy
    margin = line_px // 2 + look.edge_px
    return look, Area(left - margin, top - margin, right + margin, bottom + margin).inside(frame_wh)


@lru_cache(maxsize=256)
def _colours(label: str, labels: tuple[str, ...]) -> tuple[Bgr, Bgr]:
    """Return the colour of one of a model's labels, and the colour of text on it."""
    colour = label_colours((*labels, label))[label]
    return _bgr(colour), _bgr(text_colour(colour))


def _bgr(colour: str) -> Bgr:
    red, green, blue = bytes.fromhex(colour[1:])
    return blue, green, red


def _draw_box(picture: Image, box: Area, look: _Look) -> None:
    """Draw an outline, with edges that separate it from any background."""
    left, top, right, bottom = box.left, box.top, box.right - 1, box.bottom - 1
    if look.faint:
        _draw_dashed(picture, box, look)
        return
    for inset in range(look.line_px + 2 * look.edge_px):  # faster than a line of this width
        colour = look.colour if 0 <= inset - look.edge_px < look.line_px else look.contrast
        cv2.rectangle(picture, (left + inset, top + inset), (right - inset, bottom - inset), colour)


def _draw_dashed(picture: Image, box: Area, look: _Look) -> None:
    across, down = _dashes(box.left, box.right), _dashes(box.top, box.bottom)
    for inset, colour in ((0, look.contrast), (look.edge_px, look.colour)):
        width = look.line_px + 2 * (look.edge_px - inset) - 1
        for y in (box.top + inset, box.bottom - 1 - inset - width):
            for start, end in across:
                cv2.rectangle(picture, (start + inset, y), (end - 1 - inset, y + width), colour, cv2.FILLED)
        for x in (box.left + inset, box.right - 1 - inset - width):
            for start, end in down:
                cv2.rectangle(picture, (x, start + inset), (x + width, end - 1 - inset), colour, cv2.FILLED)


def _dashes(start: int, end: int) -> list[tuple[int, int]]:
    """Return the drawn parts of a line, with a dash at each end."""
    parts = 2 * max(2, min(_DASHES, (end - start) // 12)) - 1
    length = (end - start) / parts
    return [(round(start + part * length), round(start + (part + 1) * length)) for part in range(0, parts, 2)]


class _Text(NamedTuple):
    """Text of a label, its letter height, and the size of the label, in pixels."""

    content: str
    text_px: int
    width: int
    height: int


def _texts(face: Face, text_px: int, frame_wh: tuple[int, int], *, with_id: bool) -> Iterator[_Text]:
    """Yield the texts of a label that fit in the frame, from the complete one to the shortest."""
    label, percent = _shown_label(face.emotion), f"{100 * face.emotion.confidence:.0f} %"
    contents = [f"#{face.track_id} {label} {percent}"] if with_id else []
    for content in (*contents, f"{label} {percent}", label):
        text = _fitted(content, text_px, frame_wh)
        if text is not None:
            yield text
    if text is None:
        shortened = (_fitted(label[:length], _SMALLEST_TEXT, frame_wh) for length in range(len(label) - 1, 0, -1))
        yield from islice(filter(None, shortened), 1)


def _fitted(content: str, text_px: int, frame_wh: tuple[int, int]) -> _Text | None:
    """Return a text at the largest legible size at which its label fits in the frame, or None."""
    sizes = (_measured(content, height_px) for height_px in range(text_px, _SMALLEST_TEXT - 1, -1))
    return next((text for text in sizes if text.width <= frame_wh[0] and text.height <= frame_wh[1]), None)


def _place_text(
    texts: Iterable[_Text], box: Area, others: Sequence[Area], labels: Sequence[Area], frame_wh: tuple[int, int]
) -> tuple[_Text, Area] | None:
    """Return the longest text that has a free place, or the shortest one and its least bad place."""
    placed = None
    for text in texts:
        area, is_free = place_label((text.width, text.height), box, others, labels, frame_wh)
        placed = text, area
        if is_free:
            break
    return placed


@lru_cache(maxsize=1024)
def _measured(content: str, text_px: int) -> _Text:
    pad = _padding(text_px)
    return _Text(content, text_px, text_width(content, text_px) + 2 * pad, text_px + 2 * pad + text_px // 4)


def _padding(text_px: int) -> int:
    return max(2, text_px // 3)


def _draw_label(picture: Image, area: Area, text: _Text, look: _Look) -> None:
    part, fill, contrast = picture[area.top : area.bottom, area.left : area.right], look.colour, look.contrast
    if look.faint:
        fill = _mixed(fill, part)
        contrast = _bgr(text_colour("#{2:02x}{1:02x}{0:02x}".format(*fill)))
    part[:] = _label_picture(text, fill, contrast)


def _mixed(colour: Bgr, part: Image) -> Bgr:
    """Return the mean of a colour and a part of the picture, in steps of 16 so that it seldom changes in a video."""
    blue, green, red = (
        own // 2 + round(behind) // 32 * 16 for own, behind in zip(colour, cv2.mean(part)[:3], strict=True)
    )
    return blue, green, red


@lru_cache(maxsize=32)
def _label_picture(text: _Text, fill: Bgr, contrast: Bgr) -> Image:
    """Draw a label; the cache helps because a label seldom changes from one frame to the next."""
    picture = np.full((text.height, text.width, 3), fill, np.uint8)
    pad = _padding(text.text_px)
    draw_text(picture, text.content, (pad, pad + text.text_px), text.text_px, contrast)
    return picture


def _shown_label(emotion: Emotion) -> str:
    """Return the label as it can be drawn."""
    names = (*emotion.probabilities, emotion.label)
    return printable(emotion.label, names.index(emotion.label) + 1)
