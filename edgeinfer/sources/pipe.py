"""Source of frames on stdin: MJPEG, such as the output of `rpicam-vid --codec mjpeg -o -`, or raw frames."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO

import cv2
import numpy as np

from edgeinfer.errors import SourceError, UsageError
from edgeinfer.results import Frame, Image
from edgeinfer.sources.base import PIXELS, Capture
from edgeinfer.sources.images import decode_image

READ_BYTES = 1 << 16
MAX_JPEG_BYTES = 64_000_000
"""Bytes without the end of a picture after which the input is rejected as not MJPEG."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Memory layout of raw frames.

    Attributes:
        bytes_per_pixel: Bytes per pixel of the frame, all planes included.
        rows: Rows of the raw array per row of the frame.
        channels: Channels of the raw array.
        to_bgr: OpenCV conversion code, or None if the data is already BGR.
    """

    bytes_per_pixel: float
    rows: float
    channels: int
    to_bgr: int | None


_LAYOUTS: dict[str, _Layout] = {
    "bgr24": _Layout(3, 1, 3, None),
    "rgb24": _Layout(3, 1, 3, cv2.COLOR_RGB2BGR),
    "gray": _Layout(1, 1, 1, cv2.COLOR_GRAY2BGR),
    "yuv420p": _Layout(1.5, 1.5, 1, cv2.COLOR_YUV2BGR_I420),
}


class PipeSource(AbstractContextManager["PipeSource"]):
    """Frames from a pipe, each one in order; a slow consumer blocks the writing program.

    Attributes:
        fps: Frame rate from which timestamps are computed, or None if timestamps are arrival times.
    """

    live = False
    continuous = True
    dropped = 0
    frame_count: int | None = None

    def __init__(self, pipe: BinaryIO, capture: Capture, *, name: str = "stdin") -> None:
        """Create a source without reading.

        Args:
            pipe: Binary stream; not closed by this source.
            capture: `pixels` and `size_wh` of raw frames, `fps` for timestamps, and orientation of the frames.
            name: Display name.

        Raises:
            UsageError: Raw frames have no size, an unknown layout, or in yuv420p an odd width or height.
        """
        self.name, self.fps, self.skipped = name, capture.fps, 0
        self._pipe, self._capture = pipe, capture
        self._read_images: Callable[[], Iterator[Image | None]] = self._read_jpegs
        if capture.pixels is not None:
            _validate_raw(capture)
            self._read_images = self._read_raw

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames until the pipe is closed; damaged ones are skipped and counted.

        Without `fps`, timestamps count from the arrival of the first frame.

        Raises:
            SourceError: The input contains no picture.
        """
        first_s: float | None = None
        yielded = 0
        for index, image in enumerate(self._read_images()):
            if image is None:
                self.skipped += 1
                continue
            captured_s = time.monotonic()
            first_s = captured_s if first_s is None else first_s
            timestamp_s = index / self.fps if self.fps else captured_s - first_s
            yield self._capture.turned(Frame(image, index, timestamp_s, captured_s))
            yielded += 1
        if not yielded:
            raise SourceError(
                f"{self.name} contains no picture: expected MJPEG, or raw frames together with `pixels` and `size`"
            )
        if self.skipped:
            warnings.warn(f"{self.name}: skipped {self.skipped} damaged frames", stacklevel=2)

    def _read_raw(self) -> Iterator[Image | None]:
        """Yield raw frames as BGR; None for an incomplete one at the end."""
        width, height = self._capture.size_wh or (0, 0)
        layout = _LAYOUTS[self._capture.pixels or ""]
        frame_bytes = round(width * height * layout.bytes_per_pixel)
        shape = (round(height * layout.rows), width, layout.channels)
        while len(data := self._pipe.read(frame_bytes)) == frame_bytes:
            raw = np.frombuffer(data, np.uint8).reshape(shape)
            yield np.asarray(raw if layout.to_bgr is None else cv2.cvtColor(raw, layout.to_bgr), dtype=np.uint8)
        if data:
            yield None

    def _read_jpegs(self) -> Iterator[Image | None]:
        """Yield the pictures of an MJPEG stream; None for damaged ones."""
        buffer = bytearray()
        while True:
            chunk = self._pipe.read1(READ_BYTES) if hasattr(self._pipe, "read1") else self._pipe.read(READ_BYTES)
            buffer += chunk
            while (start := buffer.find(b"\xff\xd8\xff")) >= 0 and (end := jpeg_end(buffer, start)) is not None:
                yield decode_image(buffer[start:end])
                del buffer[:end]
            if not chunk:
                if start >= 0:
                    yield decode_image(buffer[start:])
                return
            if start < 0:
                del buffer[:-2]  # the last two bytes may be the beginning of a marker
            elif start > 0:
                del buffer[:start]
            if len(buffer) > MAX_JPEG_BYTES:
                raise SourceError(
                    f"{self.name} is not MJPEG: a picture has no end within {MAX_JPEG_BYTES // 1_000_000} MB"
                )

    def __exit__(self, *_: object) -> None:
        """Do nothing; the pipe belongs to the caller."""


def open_stdin(capture: Capture) -> PipeSource:
    """Open the standard input.

    Raises:
        SourceError: stdin is a terminal or closed.
    """
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        raise SourceError("stdin is not a pipe: expected the output of a program that writes MJPEG or raw frames")
    return PipeSource(sys.stdin.buffer, capture)


def jpeg_end(data: bytes | bytearray, start: int) -> int | None:
    """Find the end of a JPEG picture (ITU-T T.81, annex B).

    Segments are skipped by their lengths, because a segment may contain a thumbnail, which is a JPEG of its own.

    Args:
        data: Bytes read so far.
        start: Offset of the marker FFD8.

    Returns:
        Offset after the marker FFD9, or of the first byte that cannot belong to the picture; None if more data is
        required.
    """
    offset = start + 2
    while offset + 4 <= len(data):
        if data[offset] != 0xFF:
            return offset
        marker = data[offset + 1]
        if marker == 0xD9:
            return offset + 2
        if marker == 0xFF or 0xD0 <= marker <= 0xD8 or marker == 0x01:
            offset += 1 if marker == 0xFF else 2
            continue
        offset += 2 + int.from_bytes(data[offset + 2 : offset + 4], "big")
        if marker == 0xDA:
            end = _scan_end(data, offset)
            if end is None:
                return None
            offset = end
    return offset + 2 if data[offset : offset + 2] == b"\xff\xd9" else None


def _scan_end(data: bytes | bytearray, offset: int) -> int | None:
    """Return the offset of the first marker after entropy-coded data, ignoring stuffed bytes and restart markers."""
    while (offset := data.find(b"\xff", offset)) >= 0 and offset + 1 < len(data):
        if data[offset + 1] != 0 and not 0xD0 <= data[offset + 1] <= 0xD7:
            return offset
        offset += 2
    return None


def _validate_raw(capture: Capture) -> None:
    if capture.pixels not in _LAYOUTS:
        raise UsageError(f"invalid `pixels` {capture.pixels!r}: expected one of {', '.join(PIXELS)}")
    if capture.size_wh is None:
        raise UsageError(f"raw {capture.pixels} frames require `size`, for example 640x480")
    width, height = capture.size_wh
    if capture.pixels == "yuv420p" and (width % 2 or height % 2):
        raise UsageError(f"invalid size {width}x{height}: yuv420p requires an even width and height")
