"""Frames that another program pipes in: MJPEG, as `rpicam-vid --codec mjpeg -o -` gives it, or raw pictures."""

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

CHUNK = 1 << 16
LARGEST_JPEG = 64_000_000
"""Bytes without the end of a picture after which what comes in is no MJPEG."""


@dataclass(frozen=True, slots=True)
class _Layout:
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
    """Frames from a pipe, each one in order; the writer waits while they are read.

    Attributes:
        fps: as asked for; None makes a frame's time that of its arrival.
    """

    live = False
    continuous = True
    dropped = 0
    frame_count: int | None = None

    def __init__(self, pipe: BinaryIO, wanted: Capture, *, name: str = "stdin") -> None:
        """Take a pipe; nothing is read yet.

        Args:
            pipe: binary, left open.
            wanted: `pixels` and `size_wh` for raw frames, `fps` for their times.
            name: for people and outputs.

        Raises:
            UsageError: raw frames without a size, of an unknown layout, or with odd sides in yuv420p.
        """
        self.name, self.fps, self.skipped = name, wanted.fps, 0
        self._pipe, self._wanted = pipe, wanted
        self._pictures: Callable[[], Iterator[Image | None]] = self._jpegs
        if wanted.pixels is not None:
            _check_raw(wanted)
            self._pictures = self._raw

    def __iter__(self) -> Iterator[Frame]:
        """Give frames until the pipe closes; damaged ones are left out and counted.

        Raises:
            SourceError: nothing came that is a picture.
        """
        started = time.monotonic()
        given = 0
        for index, image in enumerate(self._pictures()):
            if image is None:
                self.skipped += 1
                continue
            captured_s = time.monotonic()
            at_s = index / self.fps if self.fps else captured_s - started
            yield self._wanted.turned(Frame(image, index, at_s, captured_s))
            given += 1
        if not given:
            raise SourceError(
                f"{self.name} gave no picture; pipe MJPEG in, or raw frames with their pixel layout and size"
            )
        if self.skipped:
            warnings.warn(f"{self.name} had {self.skipped} damaged frames, which were left out", stacklevel=2)

    def _raw(self) -> Iterator[Image | None]:
        wide, high = self._wanted.size_wh or (0, 0)
        layout = _LAYOUTS[self._wanted.pixels or ""]
        count = round(wide * high * layout.bytes_per_pixel)
        while len(data := self._pipe.read(count)) == count:
            shape = (round(high * layout.rows), wide, layout.channels)
            raw = np.frombuffer(data, np.uint8).reshape(shape)
            yield np.asarray(raw if layout.to_bgr is None else cv2.cvtColor(raw, layout.to_bgr), dtype=np.uint8)
        if data:
            yield None

    def _jpegs(self) -> Iterator[Image | None]:
        held = bytearray()
        while True:
            chunk = self._pipe.read1(CHUNK) if hasattr(self._pipe, "read1") else self._pipe.read(CHUNK)
            held += chunk
            while (start := held.find(b"\xff\xd8\xff")) >= 0 and (end := jpeg_end(held, start)) is not None:
                yield decode_image(held[start:end])
                del held[:end]
            if not chunk:
                if start >= 0:
                    yield decode_image(held[start:])
                return
            if start < 0:
                del held[:-2]  # may be the first bytes of a mark
            elif start > 0:
                del held[:start]
            if len(held) > LARGEST_JPEG:
                raise SourceError(f"{self.name} is no MJPEG: a picture there does not end")

    def __exit__(self, *_: object) -> None:
        """The pipe belongs to whoever opened it."""


def open_stdin(wanted: Capture) -> PipeSource:
    """The standard input of this program.

    Raises:
        SourceError: it is a keyboard, or closed.
    """
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        raise SourceError("nothing is piped in; use - behind a program that writes MJPEG or raw frames")
    return PipeSource(sys.stdin.buffer, wanted)


def jpeg_end(data: bytes | bytearray, start: int) -> int | None:
    """Where a JPEG ends (ITU-T T.81, annex B): segments are passed by their lengths, since a thumbnail may lie inside.

    Args:
        data: what has been read.
        start: where FFD8 stands in it.

    Returns:
        The position behind FFD9, or behind what cannot belong to it; None where more must be read.
    """
    at = start + 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return at
        kind = data[at + 1]
        if kind == 0xD9:
            return at + 2
        if kind == 0xFF or 0xD0 <= kind <= 0xD8 or kind == 0x01:
            at += 1 if kind == 0xFF else 2
            continue
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if kind == 0xDA:
            found = _scan_end(data, at)
            if found is None:
                return None
            at = found
    return at + 2 if data[at : at + 2] == b"\xff\xd9" else None


def _scan_end(data: bytes | bytearray, at: int) -> int | None:
    """The first mark behind entropy-coded data that is neither a stuffed byte nor a restart."""
    while (at := data.find(b"\xff", at)) >= 0 and at + 1 < len(data):
        if data[at + 1] != 0 and not 0xD0 <= data[at + 1] <= 0xD7:
            return at
        at += 2
    return None


def _check_raw(wanted: Capture) -> None:
    if wanted.pixels not in _LAYOUTS:
        raise UsageError(f"no pixels are called {wanted.pixels}; choose one of {', '.join(PIXELS)}")
    if wanted.size_wh is None:
        raise UsageError(f"raw {wanted.pixels} frames need their size, such as 640x480")
    if wanted.pixels == "yuv420p" and any(side % 2 for side in wanted.size_wh):
        raise UsageError("yuv420p frames have even sides")
