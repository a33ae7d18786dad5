"""Text of any script in pictures: ASCII and Russian letters in OpenCV's fonts, all others through Pillow.

Pillow is optional. Without Pillow or a font, letters lose their accents; other labels are replaced by numbers.
"""

from __future__ import annotations

import logging
import math
import unicodedata
from functools import lru_cache
from typing import Any, TypeAlias

import cv2
import numpy as np

from edgeinfer.errors import one_line, path_text
from edgeinfer.results import Image

Bgr: TypeAlias = tuple[int, int, int]

MAX_CHARACTERS = 40
"""Maximum number of characters of a label in a picture."""
FONT_FILES = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "DroidSansFallbackFull.ttf", "wqy-zenhei.ttc",
    "wqy-microhei.ttc", "NotoSansArabic-Regular.ttf", "NotoSansHebrew-Regular.ttf", "NotoSansDevanagari-Regular.ttf",
    "NotoSansThai-Regular.ttf", "FreeSans.ttf", "Arial Unicode.ttf", "segoeui.ttf", "msyh.ttc", "malgun.ttf",
    "Nirmala.ttf",
)  # fmt: skip
"""Fonts in the order of preference, by the names of their files in the system's font folders."""
_CAPITALS = 0.72
"""Height of capital letters as a share of the size of a TrueType font."""
_CAPITALS_PX = 22
"""Height of capital letters of OpenCV's fonts at scale 1, in pixels."""
_LEFT_TO_RIGHT = "\u200e"
"""Left-to-right mark (U+200E); it keeps a number to the right of a preceding right-to-left word."""

_replaced: set[str] = set()
"""Labels without a font; the first one is logged."""
_log = logging.getLogger(__name__)


@lru_cache(maxsize=256)
def printable(label: str, number: int) -> str:
    """Return a label as it can be drawn, at most `MAX_CHARACTERS` long.

    A label without a font loses its accents; if other characters remain, its number replaces it. The first such label
    is logged.

    Args:
        label: Any label.
        number: Position among the labels of the model, from 1.
    """
    text = " ".join(one_line(unicodedata.normalize("NFKC", path_text(label))).split())[:MAX_CHARACTERS]
    if _is_in_opencv(text):
        return text
    if _font_file(text):
        return text + _LEFT_TO_RIGHT if any(map(_is_right_to_left, text)) else text
    plain = "".join(c if _is_in_opencv(c) else _without_marks(c) for c in text)
    shown = plain if plain.strip() and _is_in_opencv(plain) else f"label {number}"
    if not _replaced:
        _log.warning(
            "no font for the label %s: pictures show '%s'; install Pillow (pip install pillow) and a font with its "
            "characters, for example fonts-noto-cjk",
            one_line(path_text(label)), shown,
        )  # fmt: skip
    _replaced.add(label)
    return shown


def text_width(text: str, height_px: int) -> int:
    """Return the width of a text in pixels.

    Args:
        text: One line, as for `draw_text`.
        height_px: Height of a capital letter in pixels.
    """
    if _is_in_opencv(text):
        width: int = cv2.getTextSize(text, _opencv_font(text), height_px / _CAPITALS_PX, 1)[0][0]
        return width + _stroke(height_px) - 1
    font, layout = _font(text, height_px)
    length: float = font.getlength(text, **layout)
    return math.ceil(length)


def draw_text(picture: Image, text: str, origin: tuple[int, int], height_px: int, colour: Bgr) -> None:
    """Draw a text in place.

    Args:
        picture: (H, W, 3) BGR uint8 array.
        text: One line, made of labels that `printable` returned and of ASCII characters.
        origin: Left end of the baseline in pixels.
        height_px: Height of a capital letter in pixels.
        colour: BGR colour.
    """
    if _is_in_opencv(text):
        scale = height_px / _CAPITALS_PX
        cv2.putText(picture, text, origin, _opencv_font(text), scale, colour, _stroke(height_px), cv2.LINE_AA)
    else:
        _draw_with_pillow(picture, text, origin, height_px, colour)


def _is_in_opencv(text: str) -> bool:
    """Return True if a text has only ASCII and Russian letters, which OpenCV's font "complex" contains."""
    return all(" " <= character <= "~" or "А" <= character <= "я" for character in text)


def _opencv_font(text: str) -> int:
    return cv2.FONT_HERSHEY_SIMPLEX if text.isascii() else cv2.FONT_HERSHEY_COMPLEX


def _stroke(height_px: int) -> int:
    """Return the stroke width of a letter in pixels."""
    return max(1, round(height_px / 12))


def _without_marks(text: str) -> str:
    """Return a text without accents and other marks."""
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.category(c).startswith("M"))


def _font_file(text: str) -> str | None:
    """Return the first font with all characters of a text, or None."""
    return _find_font("".join(sorted({*text, *"#09%"}.difference(" ", _LEFT_TO_RIGHT))))


@lru_cache(maxsize=256)
def _find_font(characters: str) -> str | None:
    """Return the first font with some characters, or None.

    Without Raqm, Pillow can neither join the letters of a script nor reverse their direction.
    """
    try:
        from PIL import ImageFont  # noqa: PLC0415 - optional, slow to import
    except ImportError:
        return None
    needs_layout = any(_is_right_to_left(c) or unicodedata.category(c).startswith("M") for c in characters)
    if needs_layout and not _has_layout():
        return None
    for name in FONT_FILES:
        try:
            font = ImageFont.truetype(name, 24)
        except OSError:
            continue
        missing = bytes(font.getmask("\uffff"))
        if all(bytes(font.getmask(character)) != missing for character in characters):
            return name
    return None


def _is_right_to_left(character: str) -> bool:
    return unicodedata.bidirectional(character) in ("R", "AL")


@lru_cache(maxsize=1)
def _has_layout() -> bool:
    """Return True if Pillow can set text in scripts with joined letters or from right to left."""
    from PIL import features  # noqa: PLC0415 - optional, slow to import

    return bool(features.check("raqm") and features.check("fribidi"))


@lru_cache(maxsize=64)
def _loaded(name: str, height_px: int) -> Any:
    from PIL import ImageFont  # noqa: PLC0415 - optional, slow to import

    return ImageFont.truetype(name, round(height_px / _CAPITALS))


def _font(text: str, height_px: int) -> tuple[Any, dict[str, Any]]:
    """Return the font of a text, and the options of its layout, which is left to right."""
    return _loaded(_font_file(text) or FONT_FILES[0], height_px), {"direction": "ltr"} if _has_layout() else {}


def _draw_with_pillow(picture: Image, text: str, origin: tuple[int, int], height_px: int, colour: Bgr) -> None:
    from PIL import Image as Pictures  # noqa: PLC0415 - optional, slow to import
    from PIL import ImageDraw  # noqa: PLC0415

    font, layout = _font(text, height_px)
    bounds = font.getbbox(text, anchor="ls", **layout)
    left, top = (max(0, start + math.floor(low) - 1) for start, low in zip(origin, bounds[:2], strict=True))
    right, bottom = (max(0, start + math.ceil(high) + 1) for start, high in zip(origin, bounds[2:], strict=True))
    part = picture[top:bottom, left:right]
    if not part.size:
        return
    canvas = Pictures.fromarray(part)
    place = origin[0] - left, origin[1] - top
    ImageDraw.Draw(canvas).text(place, text, fill=colour, font=font, anchor="ls", **layout)
    part[:] = np.asarray(canvas)
