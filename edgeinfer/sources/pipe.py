"""Source of frames on stdin: MJPEG, such as the output of `rpicam-vid --codec mjpeg -o -`, or raw frames."""

from __future__ import annotations

import os
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
from edgeinfer.sources.mjpeg import MAX_JPEG_BYTES, JpegPicture, JpegSplitter
from edgeinfer.system import interrupts

READ_BYTES = 1 << 16


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
        # Only a descriptor can be read without blocking signals; it must not be mixed with a buffer that is in use.
        self._descriptor = _descriptor(pipe) if interrupts.are_checked() else None
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
        while len(data := self._read(frame_bytes)) == frame_bytes:
            raw = np.frombuffer(data, np.uint8).reshape(shape)
            yield np.asarray(raw if layout.to_bgr is None else cv2.cvtColor(raw, layout.to_bgr), dtype=np.uint8)
        if data:
            yield None

    def _read_jpegs(self) -> Iterator[Image | None]:
        """Yield the pictures of an MJPEG stream; None for those that are damaged or too large."""
        splitter, decoded = JpegSplitter(), 0
        while chunk := self._read_chunk():
            for picture in splitter.feed(chunk):
                image = self._decode(picture)
                if not picture.data and not decoded:
                    raise SourceError(
                        f"{self.name} is not MJPEG: a picture has no end within {MAX_JPEG_BYTES // 1_000_000} MB"
                    )
                decoded += image is not None
                yield image
        for picture in splitter.finish():
            yield self._decode(picture)

    def _read(self, count: int) -> bytes:
        """Return the given number of bytes, or fewer at the end."""
        if self._descriptor is None:
            return self._pipe.read(count)
        data = bytearray()
        while len(data) < count and (chunk := self._read_chunk(count - len(data))):
            data += chunk
        return bytes(data)

    def _read_chunk(self, limit: int = READ_BYTES) -> bytes:
        """Return available bytes, or b"" at the end; wait if there are none yet."""
        if self._descriptor is not None:
            interrupts.wait_readable(self._descriptor)
            return os.read(self._descriptor, limit)
        return self._pipe.read1(limit) if hasattr(self._pipe, "read1") else self._pipe.read(limit)

    def _decode(self, picture: JpegPicture) -> Image | None:
        if picture.size_wh is None:  # without a header it cannot be decoded
            return None
        return decode_image(picture.data, max_megapixels=self._capture.max_megapixels)

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


def _descriptor(pipe: BinaryIO) -> int | None:
    try:
        return pipe.fileno()
    except OSError:  # a stream in memory
        return None


def _validate_raw(capture: Capture) -> None:
    if capture.pixels not in _LAYOUTS:
        raise UsageError(f"invalid `pixels` {capture.pixels!r}: expected one of {', '.join(PIXELS)}")
    if capture.size_wh is None:
        raise UsageError(f"raw {capture.pixels} frames require `size`, for example 640x480")
    width, height = capture.size_wh
    if capture.pixels == "yuv420p" and (width % 2 or height % 2):
        raise UsageError(f"invalid size {width}x{height}: yuv420p requires an even width and height")
