"""Splitting of an MJPEG stream into pictures (ITU-T T.81, annex B)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_JPEG_BYTES = 64_000_000
"""Size in bytes at which a picture without an end is discarded."""
_START = b"\xff\xd8\xff"
_MARKER_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7]", re.DOTALL)
_FILL, _SOI, _EOI, _SOS, _TEM = 0xFF, 0xD8, 0xD9, 0xDA, 0x01
_RESTARTS = range(0xD0, 0xD8)
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True, slots=True)
class JpegPicture:
    """One picture of a stream.

    Attributes:
        data: Bytes of the picture; empty if it was larger than `MAX_JPEG_BYTES`.
        size_wh: (width, height) in pixels according to its header, or None if it has no header and thus cannot be
            decoded.
    """

    data: bytes
    size_wh: tuple[int, int] | None


class JpegSplitter:
    """Splitter that finds the pictures in a stream in time proportional to its length.

    Segments are skipped by their lengths, because a segment may contain a thumbnail, which is itself a JPEG. Each
    byte is examined once: the search continues where the previous call stopped.
    """

    def __init__(self) -> None:
        """Start before the first picture."""
        self._buffer = bytearray()
        self._begin(inside=False)

    def feed(self, data: bytes) -> Iterator[JpegPicture]:
        """Yield the pictures that end within the data received so far."""
        self._buffer += data
        while self._inside or self._find_start():
            end = self._find_end()
            if end is not None:
                yield self._take(end)
            elif len(self._buffer) > MAX_JPEG_BYTES:
                self._buffer.clear()
                self._begin(inside=False)
                yield JpegPicture(b"", None)
            else:
                return

    def finish(self) -> Iterator[JpegPicture]:
        """Yield the picture that the end of the stream cuts off, if there is one."""
        if self._inside:
            yield self._take(len(self._buffer))

    def _begin(self, *, inside: bool) -> None:
        self._inside, self._in_scan = inside, False
        self._offset = 2 if inside else 0
        self._size_wh: tuple[int, int] | None = None

    def _take(self, end: int) -> JpegPicture:
        picture = JpegPicture(bytes(self._buffer[:end]), self._size_wh)
        del self._buffer[:end]
        self._begin(inside=False)
        return picture

    def _find_start(self) -> bool:
        start = self._buffer.find(_START)
        if start < 0:
            del self._buffer[:-2]  # the last two bytes may be the beginning of a picture
            return False
        del self._buffer[:start]
        self._begin(inside=True)
        return True

    def _find_end(self) -> int | None:
        """Return the offset after the picture, or of the first byte that cannot belong to it; None if it is unknown."""
        while True:
            if self._in_scan and not self._leave_scan():
                return None
            end = self._skip_segments()
            if end is not None or not self._in_scan:
                return end

    def _leave_scan(self) -> bool:
        """Move to the first marker after entropy-coded data; return False if there is none yet."""
        marker = _MARKER_AFTER_SCAN.search(self._buffer, self._offset)
        if marker is None:
            self._offset = max(self._offset, len(self._buffer) - 1)  # the last byte may begin a marker
            return False
        self._offset, self._in_scan = marker.start(), False
        return True

    def _skip_segments(self) -> int | None:
        """Move to the next scan or to the last complete segment; return the end of the picture if it was found."""
        buffer, offset = self._buffer, self._offset
        last = len(buffer) - 4
        try:
            while offset <= last:
                marker = buffer[offset + 1]
                if buffer[offset] != _FILL or marker == _SOI:
                    return offset
                if marker == _EOI:
                    return offset + 2
                if marker == _FILL:
                    offset += 1
                elif marker in _RESTARTS or marker == _TEM:
                    offset += 2
                elif (length := buffer[offset + 2] << 8 | buffer[offset + 3]) < 2:
                    return offset + 2
                else:
                    if marker in _FRAME_HEADERS:
                        if offset + 9 > len(buffer):
                            return None
                        height, width = (int.from_bytes(buffer[offset + at : offset + at + 2], "big") for at in (5, 7))
                        self._size_wh = (width, height)
                    offset += 2 + length
                    if marker == _SOS:
                        self._in_scan = True
                        return None
            return offset + 2 if buffer[offset : offset + 2] == bytes((_FILL, _EOI)) else None
        finally:
            self._offset = offset
