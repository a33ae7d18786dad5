"""Video files, cameras and network streams through OpenCV."""

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
from edgeinfer.sources.v4l2 import camera_nodes
from edgeinfer.url import without_credentials

STREAM_TIMEOUT_MS = 10_000
MAX_FAILED_READS = 100
"""Consecutive failed reads that end a file: OpenCV reports several failures for each damaged frame."""
MAX_FAILED_LIVE_READS = 5
DEFAULT_FPS = 30.0
"""Frame rate for the timestamps of a video that states neither timestamps nor a rate."""


class VideoSource(AbstractContextManager["VideoSource"]):
    """A video file, camera or stream through OpenCV; yields every frame in order."""

    continuous = True
    dropped = 0

    def __init__(self, video: cv2.VideoCapture, *, name: str, live: bool, capture: Capture | None = None) -> None:
        """Take ownership of an open `cv2.VideoCapture`.

        Args:
            video: Open video, released by this source.
            name: Display name.
            live: True if the end of the frames is a loss.
            capture: Orientation of the frames.
        """
        self._video, self._capture = video, capture or Capture()
        self.name, self.live, self.skipped = name, live, 0
        fps, count = video.get(cv2.CAP_PROP_FPS), video.get(cv2.CAP_PROP_FRAME_COUNT)
        self.fps: float | None = fps if 0 < fps <= 1000 else None
        self.frame_count: int | None = int(count) if not live and count > 0 else None

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames until the end; damaged ones are skipped and counted.

        Timestamps of a live source count from the arrival of its first frame.

        Raises:
            SourceError: No frame could be read.
            SourceLostError: A live source stopped after it had yielded frames.
        """
        first_s: float | None = None
        yielded, timestamp_s = 0, -1.0
        while (image := self._next_image(yielded)) is not None:
            captured_s = time.monotonic()
            first_s = captured_s if first_s is None else first_s
            index = yielded + self.skipped
            timestamp_s = captured_s - first_s if self.live else self._file_timestamp_s(index, timestamp_s)
            yield self._capture.turned(Frame(_bgr(image), index, timestamp_s, captured_s))
            yielded += 1
        if yielded == 0:
            raise SourceError(
                f"{self.name} was opened but delivered no frame; the file may be damaged, or another program may use "
                "the camera"
            )
        if self.live:
            raise SourceLostError(f"{self.name} was lost after {yielded} frames; check its cable or network")
        self._warn_if_incomplete(yielded)

    def _next_image(self, yielded: int) -> Any:
        """Return the next image that can be decoded, or None at the end."""
        for failed in range(MAX_FAILED_LIVE_READS if self.live else MAX_FAILED_READS):
            success, image = self._video.read()
            if success:
                self.skipped += failed
                return image
            if self.frame_count is not None and yielded + self.skipped + failed >= self.frame_count:
                break
        return None

    def _warn_if_incomplete(self, yielded: int) -> None:
        if self.skipped:
            warnings.warn(f"{self.name}: skipped {self.skipped} damaged frames", stacklevel=3)
        if self.frame_count and yielded + self.skipped < 0.9 * self.frame_count:
            warnings.warn(
                f"{self.name} ended after {yielded + self.skipped} of {self.frame_count} frames; it may be truncated",
                stacklevel=3,
            )

    def _file_timestamp_s(self, index: int, previous_s: float) -> float:
        """Return the presentation time stated by the file, or one computed from the frame rate."""
        stated_s = self._video.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if stated_s > previous_s:
            return stated_s
        return previous_s + 1 / (self.fps or DEFAULT_FPS) if index else 0.0

    def __exit__(self, *_: object) -> None:
        """Release the file or device."""
        self._video.release()


def open_file(path: Path, capture: Capture) -> VideoSource:
    """Open a video file.

    Raises:
        SourceError: The file cannot be read as a video.
    """
    video = _open_ffmpeg(str(path))
    if video is None:
        raise SourceError(f"{path} cannot be read as a video; it may be damaged, truncated or in an unsupported format")
    if capture.rotate != "auto":
        video.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
    return VideoSource(video, name=str(path), live=False, capture=capture)


def open_camera(device: Path, capture: Capture) -> VideoSource:
    """Open a V4L2 camera by its device node or by a persistent symbolic link to it.

    Raises:
        SourceNotFoundError: The device does not exist.
        SourceError: The device cannot be opened.
    """
    if not device.exists():
        available = ", ".join(str(path) for path in camera_nodes()) or "none"
        raise SourceNotFoundError(f"no camera at {device}; available cameras: {available}")
    video = cv2.VideoCapture(str(device.resolve()), cv2.CAP_V4L2)
    if not video.isOpened():
        raise SourceError(
            f"the camera {device} cannot be opened; another program may use it, or you may not be in the group 'video'"
        )
    if capture.size_wh is not None:
        video.set(cv2.CAP_PROP_FRAME_WIDTH, capture.size_wh[0])
        video.set(cv2.CAP_PROP_FRAME_HEIGHT, capture.size_wh[1])
    if capture.fps is not None:
        video.set(cv2.CAP_PROP_FPS, capture.fps)
    return VideoSource(video, name=str(device), live=True, capture=capture)


def open_stream(url: str, capture: Capture) -> VideoSource:
    """Open a network stream, or a video on the network; it is live if its length is unknown.

    Raises:
        SourceError: The stream cannot be opened.
    """
    name = without_credentials(url)
    timeouts = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        STREAM_TIMEOUT_MS,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        STREAM_TIMEOUT_MS,
    ]
    video = _open_ffmpeg(url, timeouts)
    if video is None:
        raise SourceError(f"the stream {name} cannot be opened; check its address, its password and the network")
    return VideoSource(video, name=name, live=video.get(cv2.CAP_PROP_FRAME_COUNT) <= 0, capture=capture)


def _open_ffmpeg(address: str, parameters: list[int] | None = None) -> cv2.VideoCapture | None:
    try:
        video = cv2.VideoCapture(address, cv2.CAP_FFMPEG, parameters or [])
    except cv2.error:
        return None
    return video if video.isOpened() else None


def _bgr(image: Any) -> Image:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image, dtype=np.uint8)
