"""Picture formats, and the width and height in the header of a picture, which are read before decoding.

This module needs neither OpenCV nor NumPy.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from edgeinfer.errors import SourceError

Format = Literal["jpeg", "png", "bmp", "webp", "tiff", "gif", "pnm", "avif"]

PICTURE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".pbm", ".pgm", ".ppm",
    ".pnm", ".avif",
})  # fmt: skip
"""File name suffixes of pictures in folders, globs and training data, in lower case."""

MAX_MEGAPIXELS = 100.0
"""Default size limit of a picture, in millions of pixels."""
LARGEST_LIMIT_MEGAPIXELS = 268.0
"""Largest value of the limit: 16384 x 16384 pixels."""
MAX_FILE_BYTES = 256_000_000
"""Maximum size of a picture file that is read into memory, in bytes."""
HEADER_BYTES = 64
"""Number of leading bytes from which `picture_format` recognizes a format."""

_MAX_PARTS = 10_000
"""Maximum number of segments, boxes or directory entries searched for the size."""

Data = bytes | bytearray


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """Size in the header of a picture file.

    Attributes:
        format: File format.
        width: Width in pixels, 1 or more, before the stored orientation is applied.
        height: Height in pixels, 1 or more.
        min_bytes: Number of bytes below which the file cannot contain a picture of that size; 0 if unknown.
    """

    format: Format
    width: int
    height: int
    min_bytes: int = 0

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.width * self.height


def has_picture_suffix(path: str | PurePath) -> bool:
    """Return True if a file name ends in one of `PICTURE_SUFFIXES`, in upper or lower case."""
    return PurePath(path).suffix.lower() in PICTURE_SUFFIXES


def picture_format(head: Data) -> Format | None:
    """Return the format of a picture from its first `HEADER_BYTES` bytes, or None if it is not a picture."""
    start = bytes(head[:HEADER_BYTES])
    for name, pattern in _SIGNATURES.items():
        if pattern.match(start):
            return name
    return None


def read_header(data: Data) -> PictureHeader:
    """Return the format of a picture and the size in its header.

    Args:
        data: Content of a picture file, or a part from its start that contains the header.

    Raises:
        SourceError: The data is not a picture, or its header is damaged or truncated.
    """
    name = picture_format(data)
    if name is None:
        raise SourceError("is not a picture in a supported format")
    try:
        header = _PARSERS[name](data)
    except (IndexError, OverflowError, ValueError, struct.error) as error:
        raise SourceError(f"is not a readable picture: its {name.upper()} header is damaged") from error
    if header.width < 1 or header.height < 1:
        raise SourceError(f"is not a readable picture: its {name.upper()} header contains no size")
    return header


def check_size(data: Data, *, max_megapixels: float = MAX_MEGAPIXELS) -> PictureHeader:
    """Validate the size in the header of a complete picture file before it is decoded.

    Args:
        data: Content of a picture file.
        max_megapixels: Size limit in millions of pixels.

    Returns:
        Format and size.

    Raises:
        SourceError: The data is not a picture, exceeds the limit, or is too short for the size in its header. The
            message continues a sentence that begins with the name of the picture.
    """
    header = read_header(data)
    size = f"{header.width}x{header.height}"
    if header.pixels > 1e6 * max_megapixels:
        raise SourceError(f"has {size} pixels, above the limit of {max_megapixels:g} megapixels (`max_megapixels`)")
    if header.format == "png" and not _has_complete_chunks(data):
        raise SourceError("is not a readable picture: it is truncated")
    if len(data) < header.min_bytes:
        raise SourceError(
            f"is damaged: its header declares a size of {size} pixels, but the file has only {len(data)} bytes"
        )
    return header


_SIGNATURES: dict[Format, re.Pattern[bytes]] = {
    "jpeg": re.compile(rb"\xff\xd8\xff"),
    "png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "gif": re.compile(rb"GIF8[79]a"),
    "webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "tiff": re.compile(rb"II[*+]\0|MM\0[*+]"),
    "bmp": re.compile(rb"BM.{12}[\x0c-\x7c]\0\0\0", re.DOTALL),
    "pnm": re.compile(rb"P[1-6]\s"),
    "avif": re.compile(rb"....ftyp(avi[fs]|.{8}(.{4})*?avi[fs])", re.DOTALL),
}


def _jpeg(data: Data) -> PictureHeader:
    """Read the frame header (ITU-T T.81, B.2.2)."""
    offset = 2
    for _ in range(_MAX_PARTS):
        offset = data.index(b"\xff", offset)  # decoders skip bytes between segments
        marker = data[offset + 1]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, offset + 5)
            # A block of 8x8 pixels of one component takes one bit or more in a progressive scan.
            return PictureHeader("jpeg", width, height, width * height // 1024)
        if marker in (0xD9, 0xDA):
            break
        if marker == 0xFF:
            offset += 1
        elif 0xD0 <= marker <= 0xD8 or marker <= 0x01:
            offset += 2
        else:
            offset += 2 + max(2, int.from_bytes(data[offset + 2 : offset + 4], "big"))
    raise ValueError("no frame header before the scan")


_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def _png(data: Data) -> PictureHeader:
    length, name, width, height, depth, colour = struct.unpack_from(">I4sIIBB", data, 8)
    if name != b"IHDR" or length != 13:
        raise ValueError("IHDR is not the first chunk")
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour] if colour in (0, 2, 3, 4, 6) else 1
    # Deflate compresses by a factor of 1032 at most.
    return PictureHeader("png", width, height, width * height * channels * depth // 8 // 1040)


def _has_complete_chunks(data: Data) -> bool:
    """Return True if each chunk of a PNG fits in the data; OpenCV allocates a chunk of any declared length."""
    offset = 8
    for _ in range(_MAX_PNG_CHUNKS):
        if offset + 12 > len(data):
            return False
        length, name = struct.unpack_from(">I4s", data, offset)
        offset += 12 + length
        if name == b"IEND":
            return bool(offset <= len(data))
    return False


_MAX_PNG_CHUNKS = 1_000_000


def _bmp(data: Data) -> PictureHeader:
    (header_bytes,) = struct.unpack_from("<I", data, 14)
    if header_bytes == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    min_bytes = 0 if compression in (1, 2) else width * abs(height) * bits // 8  # 1 and 2 are run-length encodings
    return PictureHeader("bmp", width, abs(height), min_bytes)


def _webp(data: Data) -> PictureHeader:
    """Read the first chunk (RFC 9649)."""
    match bytes(data[12:16]):
        case b"VP8X":
            width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        case b"VP8L":
            (bits,) = struct.unpack_from("<I", data, 21)
            width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 ":
            width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
        case _:
            raise ValueError("unknown chunk")
    return PictureHeader("webp", width, height)


def _gif(data: Data) -> PictureHeader:
    width, height = struct.unpack_from("<HH", data, 6)
    return PictureHeader("gif", width, height)


def _tiff(data: Data) -> PictureHeader:
    """Read width and height from the first image file directory (TIFF 6.0, section 2; BigTIFF)."""
    order = "<" if data[0] == 0x49 else ">"
    (magic,) = struct.unpack_from(f"{order}H", data, 2)
    big = magic == 43
    (directory,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, 8 if big else 4)
    (count,) = struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, directory)
    entry, first = (20, directory + 8) if big else (12, directory + 2)
    sides: dict[int, int] = {}
    for number in range(min(count, _MAX_PARTS)):
        at = first + number * entry
        tag, kind = struct.unpack_from(f"{order}HH", data, at)
        if tag in (_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT):
            value = {1: "B", 3: "H", 4: "I", 16: "Q"}.get(kind)
            if value is None:
                raise ValueError("a side is not an integer")
            (sides[tag],) = struct.unpack_from(f"{order}{value}", data, at + (12 if big else 8))
    for tile, side in ((_TILE_WIDTH, _WIDTH), (_TILE_HEIGHT, _HEIGHT)):
        if sides.get(tile, 0) > max(1024, 2 * sides.get(side, 0)):
            raise ValueError("a tile is larger than the picture")
    return PictureHeader("tiff", sides.get(_WIDTH, 0), sides.get(_HEIGHT, 0))


_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 322, 323


def _pnm(data: Data) -> PictureHeader:
    """Read width and height, which may be separated by comments (netpbm, pnm(5))."""
    number = rb"(?:\s|#[^\r\n]*[\r\n])+([0-9]{1,9})(?![0-9])"
    found = re.match(rb"P([1-6])" + 2 * number, bytes(data[: 1 << 16]))
    if found is None:
        raise ValueError("no size")
    kind, width, height = (int(value) for value in found.groups())
    bytes_per_pixel = {1: 1, 2: 2, 3: 6, 4: 1 / 8, 5: 1, 6: 3}[kind]
    return PictureHeader("pnm", width, height, int(width * height * bytes_per_pixel))


def _avif(data: Data) -> PictureHeader:
    """Return the largest size of all items; a grid is larger than its tiles (ISO/IEC 23008-12, 6.5.3)."""
    sizes = [struct.unpack_from(">II", data, at + 4) for at in _item_sizes(data)]
    if not sizes:
        raise ValueError("no size")
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return PictureHeader("avif", width, height)


_AVIF_CONTAINERS = {b"meta": 4, b"iprp": 0, b"ipco": 0}
"""Boxes that contain the sizes, with the bytes before their first box."""


def _item_sizes(data: Data) -> Iterator[int]:
    """Yield the offset of the content of each box "ispe"."""
    spans = [(0, len(data))]
    for _ in range(_MAX_PARTS):
        start, end = spans.pop()
        if start + 8 <= end:
            size, name = struct.unpack_from(">I4s", data, start)
            content = start + 8
            if size == 1:
                (size,) = struct.unpack_from(">Q", data, content)
                content += 8
            stop = end if size == 0 else min(end, start + size)
            if stop < content:
                raise ValueError("a box is shorter than its header")
            spans.append((stop, end))
            if name in _AVIF_CONTAINERS:
                spans.append((content + _AVIF_CONTAINERS[name], stop))
            elif name == b"ispe":
                yield content
        if not spans:
            return
    raise ValueError("too many boxes")


_PARSERS: dict[Format, Callable[[Data], PictureHeader]] = {
    "jpeg": _jpeg, "png": _png, "bmp": _bmp, "webp": _webp, "tiff": _tiff, "gif": _gif, "pnm": _pnm, "avif": _avif,
}  # fmt: skip
