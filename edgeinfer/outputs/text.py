"""Text of any script in pictures, with OpenCV's stroke fonts or, through Pillow, with a TrueType font of the system.

OpenCV's fonts contain ASCII and Russian letters; accents are drawn over them. Pillow is optional.
"""

from __future__ import annotations

import logging
import math
import unicodedata
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

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
_UNITS = 22
"""Height of a capital letter of OpenCV's fonts at scale 1, in pixels; the marks below are in these units."""
_MARK_HEIGHT = 6

_Lines: TypeAlias = tuple[tuple[tuple[float, float], ...], ...]

_ABOVE: dict[str, _Lines] = {
    "\u0300": (((-3, 5), (1, 0)),),
    "\u0301": (((3, 5), (-1, 0)),),
    "\u0302": (((-4, 0), (0, 5), (4, 0)),),
    "\u0303": (((-5, 1), (-2, 4), (2, 1), (5, 4)),),
    "\u0304": (((-4, 2), (4, 2)),),
    "\u0306": (((-4, 5), (-2, 1), (2, 1), (4, 5)),),
    "\u0307": (((0, 1), (0, 3)),),
    "\u0308": (((-4, 1), (-4, 3)), ((4, 1), (4, 3))),
    "\u0309": (((-2, 5), (1, 5), (2, 3), (0, 0)),),
    "\u030a": (((-2, 0), (2, 0), (2, 4), (-2, 4), (-2, 0)),),
    "\u030b": (((-1, 5), (-4, 0)), ((5, 5), (2, 0))),
    "\u030c": (((-4, 5), (0, 0), (4, 5)),),
}
"""Lines of marks above a letter: x from its centre, y from its top."""
_BELOW: dict[str, _Lines] = {
    "\u031b": (((4, 13), (8, 15), (8, 18)),),
    "\u0323": (((0, -5), (0, -3)),),
    "\u0326": (((1, -3), (-1, -7)),),
    "\u0327": (((0, 0), (2, -3), (0, -6), (-3, -6)),),
    "\u0328": (((3, 0), (0, -3), (1, -6), (4, -6)),),
}
"""Lines of other marks: x from the centre of the letter, y from the baseline."""
_SPELLINGS = {
    "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d",
    "Đ": "D", "ð": "d", "Ð": "D", "ħ": "h", "Ħ": "H", "þ": "th", "Þ": "Th", "ı": "i", "‘": "'", "’": "'", "“": '"',
    "”": '"', "„": '"', "«": '"', "»": '"', "–": "-", "—": "-", "⁄": "/", "×": "x", "€": "EUR",
}  # fmt: skip

_LEFT_TO_RIGHT = "\u200e"
"""Invisible mark that keeps a number after a word from right to left on its right."""

_replaced: set[str] = set()
"""Labels without a font; the first one is logged."""
_log = logging.getLogger(__name__)


class _Letters(NamedTuple):
    """Text in an OpenCV font: its letters, and the marks over and below them by position."""

    content: str
    marks: tuple[tuple[int, str], ...]
    font: int


@lru_cache(maxsize=256)
def printable(label: str, number: int) -> str:
    """Return a label as it can be drawn, at most `MAX_CHARACTERS` long.

    A label in a script without a font is replaced by its number; the first one is logged.

    Args:
        label: Any label.
        number: Position among the labels of the model, from 1.
    """
    text = " ".join(one_line(unicodedata.normalize("NFKC", path_text(label))).split())[:MAX_CHARACTERS]
    if _letters(text) or _font_file(text):
        return text + _LEFT_TO_RIGHT if any(map(_is_right_to_left, text)) else text
    if not _replaced:
        _log.warning(
            "no font for the label %s: pictures show numbers such as 'label %d'; install Pillow (pip install pillow) "
            "and a font with its characters, for example fonts-noto-cjk",
            one_line(path_text(label)), number,
        )  # fmt: skip
    _replaced.add(label)
    return f"label {number}"


def text_width(text: str, height_px: int) -> int:
    """Return the width of a text in pixels.

    Args:
        text: One line.
        height_px: Height of a capital letter in pixels.
    """
    letters = _letters(text)
    if letters is not None:
        return _advance(letters.content, letters.font, height_px) + _stroke(height_px)
    font, layout = _font(text, height_px)
    width: float = font.getlength(text, **layout)
    return math.ceil(width)


def draw_text(picture: Image, text: str, origin: tuple[int, int], height_px: int, colour: Bgr) -> None:
    """Draw a text in place.

    Args:
        picture: (H, W, 3) BGR uint8 array.
        text: One line, made of labels that `printable` returned and of ASCII characters.
        origin: Left end of the baseline in pixels.
        height_px: Height of a capital letter in pixels.
        colour: BGR colour.
    """
    letters = _letters(text)
    if letters is None:
        _draw_with_pillow(picture, text, origin, height_px, colour)
        return
    cv2.putText(
        picture, letters.content, origin, letters.font, height_px / _UNITS, colour, _stroke(height_px), cv2.LINE_AA
    )
    tops: dict[int, int] = {}
    for place, mark in letters.marks:
        left, right = (_advance(letters.content[:end], letters.font, height_px) for end in (place, place + 1))
        lines, top = _BELOW.get(mark), 0
        if lines is None:
            lines, top = _ABOVE[mark], tops.get(place, _top(letters.content[place]))
            tops[place] = top + _MARK_HEIGHT
        for line in lines:
            points = [
                (origin[0] + (left + right) / 2 + x * height_px / _UNITS, origin[1] - (top + y) * height_px / _UNITS)
                for x, y in line
            ]
            _draw_line(picture, points, height_px, colour)


def _draw_line(picture: Image, points: list[tuple[float, float]], height_px: int, colour: Bgr) -> None:
    bits = 4
    fixed = np.rint(np.array([points]) * 2**bits).astype(np.int32)
    cv2.polylines(picture, [fixed], False, colour, _stroke(height_px), cv2.LINE_AA, bits)


def _top(letter: str) -> int:
    """Return the height in units above which a mark begins."""
    return 16 if letter.islower() and letter not in "bdfhijklt" else _UNITS + 1


def _stroke(height_px: int) -> int:
    """Return the stroke width of a letter in pixels."""
    return max(1, round(height_px / 12))


def _advance(content: str, font: int, height_px: int) -> int:
    """Return the distance from the start of a text in an OpenCV font to its end."""
    return cv2.getTextSize(content, font, height_px / _UNITS, 1)[0][0] - 1 if content else 0


@lru_cache(maxsize=1024)
def _letters(text: str) -> _Letters | None:
    """Return a text in an OpenCV font, or None if it needs another one."""
    content, marks = "", list[tuple[int, str]]()
    decomposed = "".join(c if _is_letter(c) else unicodedata.normalize("NFD", _SPELLINGS.get(c, c)) for c in text)
    for character in decomposed:
        if _is_letter(character):
            content += character
        elif content and (character in _ABOVE or character in _BELOW):
            marks.append((len(content) - 1, character))
        else:
            return None
    russian = any(character > "~" for character in content)
    return _Letters(content, tuple(marks), cv2.FONT_HERSHEY_COMPLEX if russian else cv2.FONT_HERSHEY_SIMPLEX)


def _is_letter(character: str) -> bool:
    """Return True for ASCII and for Russian letters, which OpenCV's font "complex" contains."""
    return " " <= character <= "~" or "А" <= character <= "я"


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
        if all(map(_coverage(font), characters)):
            return name
    return None


def _is_right_to_left(character: str) -> bool:
    return unicodedata.bidirectional(character) in ("R", "AL")


@lru_cache(maxsize=1)
def _has_layout() -> bool:
    """Return True if Pillow can set text in scripts with joined letters or from right to left."""
    from PIL import features  # noqa: PLC0415 - optional, slow to import

    return bool(features.check("raqm") and features.check("fribidi"))


def _coverage(font: Any) -> Any:
    """Return a function that determines whether a font has a character: its picture is not that of a missing one."""
    missing = bytes(font.getmask("\uffff"))
    return lambda character: bytes(font.getmask(character)) != missing


@lru_cache(maxsize=64)
def _loaded(name: str, height_px: int) -> Any:
    from PIL import ImageFont  # noqa: PLC0415 - optional, slow to import

    return ImageFont.truetype(name, round(height_px / _CAPITALS))


def _font(text: str, height_px: int) -> tuple[Any, dict[str, Any]]:
    """Return the font of a text, and the options of its layout: labels are parts of lines from left to right."""
    return _loaded(_font_file(text) or FONT_FILES[0], height_px), {"direction": "ltr"} if _has_layout() else {}


def _draw_with_pillow(picture: Image, text: str, origin: tuple[int, int], height_px: int, colour: Bgr) -> None:
    from PIL import Image as Pictures  # noqa: PLC0415 - optional, slow to import
    from PIL import ImageDraw  # noqa: PLC0415

    canvas = Pictures.new("L", picture.shape[1::-1])
    font, layout = _font(text, height_px)
    ImageDraw.Draw(canvas).text(origin, text, fill=255, font=font, anchor="ls", **layout)
    cover = np.asarray(canvas, np.float32)[..., None] / 255
    picture[:] = np.rint(picture * (1 - cover) + np.array(colour, np.float32) * cover).astype(np.uint8)
