"""Videos, cameras and streams through OpenCV."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgeinfer.errors import SourceError, SourceLostError, SourceNotFoundError
from edgeinfer.results import Frame, Image
from edgeinfer.sources.base import Capture
from edgeinfer.url import without_credentials

STREAM_TIMEOUT_MS = 10_000
BAD_READS = 100
"""Reads in a row that may fail before a file has ended: OpenCV gives up a little after each damaged frame."""
BAD_LIVE_READS = 5


class VideoSource(AbstractContextManager["VideoSource"]):
    """A video file, camera or stream through OpenCV, every frame in order."""

    continuous = True
    dropped = 0

    def __init__(self, capture: cv2.VideoCapture, *, name: str, live: bool, wanted: Capture | None = None) -> None:
        """Take over an opened capture.

        Args:
            capture: released by this source.
            name: for people and outputs.
            live: whether an end of frames is a loss.
            wanted: how its pictures are turned.
        """
        self._capture, self._wanted = capture, wanted or Capture()
        self.name, self.live, self.skipped = name, live, 0
        fps, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.fps: float | None = fps if 0 < fps <= 1000 else None
        self.frame_count: int | None = int(count) if not live and count > 0 else None

    def __iter__(self) -> Iterator[Frame]:
        """Give frames until the end; damaged ones are left out and counted.

        Raises:
            SourceError: not a single frame could be read.
            SourceLostError: a live source stopped after it had delivered frames.
        """
        started = time.monotonic()
        given, last_s = 0, -1.0
        while (image := self._next(given)) is not None:
            captured_s = time.monotonic()
            index = given + self.skipped
            last_s = captured_s - started if self.live else self._timestamp(index, last_s)
            yield self._wanted.turned(Frame(_bgr(image), index, last_s, captured_s))
            given += 1
        if given == 0:
            raise SourceError(f"{self.name} opened but gave no frame; is it whole, and is the camera free?")
        if self.live:
            raise SourceLostError(f"{self.name} was lost after {given} frames; check its cable or network")
        self._warn(given)

    def _next(self, given: int) -> Any:
        """The next picture that can be decoded; None at the end."""
        patience = BAD_LIVE_READS if self.live else BAD_READS
        for failed in range(patience):
            read, image = self._capture.read()
            if read:
                self.skipped += failed
                return image
            if self.frame_count is not None and given + self.skipped + failed >= self.frame_count:
                break
        return None

    def _warn(self, given: int) -> None:
        if self.skipped:
            warnings.warn(f"{self.name} has {self.skipped} damaged frames, which were left out", stacklevel=3)
        if self.frame_count and given + self.skipped < 0.9 * self.frame_count:
            warnings.warn(
                f"{self.name} ended after {given + self.skipped} of {self.frame_count} frames; it may be truncated",
                stacklevel=3,
            )

    def _timestamp(self, index: int, last_s: float) -> float:
        stated_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if stated_s > last_s:
            return stated_s
        return last_s + 1 / (self.fps or 30.0) if index else 0.0

    def __exit__(self, *_: object) -> None:
        """Let go of the file or device."""
        self._capture.release()


def cameras() -> tuple[Path, ...]:
    """The video devices of this machine."""
    return tuple(sorted(Path("/dev").glob("video[0-9]*"), key=lambda p: int(p.name.removeprefix("video"))))


def open_file(path: Path, wanted: Capture) -> VideoSource:
    """A video file.

    Raises:
        SourceError: it is none that can be read.
    """
    capture = _ffmpeg(str(path))
    if capture is None:
        raise SourceError(f"{path} is not a video that can be read; it may be damaged, truncated or of an unknown kind")
    if wanted.rotate != "auto":
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
    return VideoSource(capture, name=str(path), live=False, wanted=wanted)


def open_camera(device: Path, wanted: Capture) -> VideoSource:
    """A V4L2 camera by its device, or by a link to it that survives plugging it in again.

    Raises:
        SourceNotFoundError: there is no such device.
        SourceError: it cannot be opened.
    """
    if not device.exists():
        there = ", ".join(str(path) for path in cameras()) or "none"
        raise SourceNotFoundError(f"no camera at {device}; cameras here: {there}")
    capture = cv2.VideoCapture(str(device.resolve()), cv2.CAP_V4L2)
    if not capture.isOpened():
        raise SourceError(
            f"the camera {device} cannot be opened; another program may hold it, or you may not be in the group 'video'"
        )
    if wanted.size_wh is not None:
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, wanted.size_wh[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, wanted.size_wh[1])
    if wanted.fps is not None:
        capture.set(cv2.CAP_PROP_FPS, wanted.fps)
    return VideoSource(capture, name=str(device), live=True, wanted=wanted)


def open_stream(url: str, wanted: Capture) -> VideoSource:
    """A stream or a video on the network; live where it has no end.

    Raises:
        SourceError: it cannot be opened.
    """
    name = without_credentials(url)
    timeouts = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        STREAM_TIMEOUT_MS,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        STREAM_TIMEOUT_MS,
    ]
    capture = _ffmpeg(url, timeouts)
    if capture is None:
        raise SourceError(f"the stream {name} cannot be opened; check its address, its password and the network")
    return VideoSource(capture, name=name, live=capture.get(cv2.CAP_PROP_FRAME_COUNT) <= 0, wanted=wanted)


def _ffmpeg(address: str, parameters: list[int] | None = None) -> cv2.VideoCapture | None:
    try:
        capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, parameters or [])
    except cv2.error:
        return None
    return capture if capture.isOpened() else None


def _bgr(image: Any) -> Image:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image, dtype=np.uint8)
