"""Video files, cameras and network streams through OpenCV."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgeinfer.errors import SourceError, SourceLostError, SourceNotFoundError, path_text, shown_path
from edgeinfer.pixels import in_colour
from edgeinfer.results import Frame, Image
from edgeinfer.sources.base import Capture
from edgeinfer.sources.timestamps import PresentationClock, plausible_fps
from edgeinfer.system.hardware import usable_cores
from edgeinfer.system.paths import local_path, native_path
from edgeinfer.url import without_credentials

STREAM_TIMEOUT_MS = 10_000
MAX_FAILED_READS = 100
"""Number of consecutive failed reads that end a file; OpenCV reports several failures for each damaged frame."""
MAX_FAILED_LIVE_READS = 5
MAX_START_S = 1e10
"""Latest start of a video in seconds; times of day and dates are below it, damaged timestamps above."""
MAX_PIXEL_ASPECT = 8.0
"""Largest ratio of a pixel's sides; a larger one is treated as a damaged header."""
SQUARE_TOLERANCE = 0.01
"""Relative deviation of a pixel's sides that is ignored, because scaling would cost more than it corrects."""
MAX_URL_CHARACTERS = 4000
_PRESENTATION_FRAMES = getattr(cv2, "CAP_PROP_PTS", 71)  # OpenCV 4.10 lacks it and returns 0


class VideoSource(AbstractContextManager["VideoSource"]):
    """A video file, camera or stream through OpenCV; yields every frame in order, upright and with square pixels."""

    continuous = True
    dropped = 0

    def __init__(self, video: cv2.VideoCapture, *, name: str, live: bool, capture: Capture | None = None) -> None:
        """Take ownership of an open `cv2.VideoCapture`.

        Args:
            video: Open video, released by this source.
            name: Display name.
            live: True if the end of the frames is treated as a loss.
            capture: Orientation and size limit of the frames.
        """
        self._video, self._capture = video, capture or Capture()
        self.name, self.live, self.skipped = name, live, 0
        fps, count = video.get(cv2.CAP_PROP_FPS), video.get(cv2.CAP_PROP_FRAME_COUNT)
        self.fps: float | None = plausible_fps(fps)
        # Containers without a frame count declare a duration, which OpenCV multiplies by the frame rate.
        is_counted = not live and 0 < count < MAX_START_S
        self._duration_s = count / fps if is_counted and fps > 0 else None
        self.frame_count: int | None = int(count) if is_counted and self.fps else None
        self._scale_wh = (1.0, 1.0)

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames until the end; damaged ones are skipped and counted.

        Timestamps are the presentation times of a file; those of a live source count from the arrival of its first
        frame.

        Raises:
            SourceError: No frame could be read.
            SourceLostError: A live source stopped after it had yielded frames.
        """
        first_s: float | None = None
        clock = PresentationClock(self.fps)
        yielded = 0
        while (image := self._next_image()) is not None:
            now_s, index = time.monotonic(), yielded + self.skipped
            if first_s is None:
                first_s = now_s if self.live else self._start_s()
                self._scale_wh = self._pixel_scale_wh()
            timestamp_s = now_s - first_s if self.live else clock.time_s(index, first_s + self._position_s())
            captured_s = now_s if self.live else None
            yield self._capture.turned(Frame(self._square(in_colour(image)), index, timestamp_s, captured_s))
            yielded += 1
        if yielded == 0:
            raise SourceError(
                f"{self.name} was opened but delivered no frame; the file may be damaged, or another program may be "
                "using the camera"
            )
        if self.live:
            raise SourceLostError(f"{self.name} was lost after {yielded} frames; check its cable or network")
        self._warn_if_incomplete(yielded, clock.end_s)

    def _next_image(self) -> Any:
        """Return the next image that can be decoded, or None at the end."""
        for failed in range(MAX_FAILED_LIVE_READS if self.live else MAX_FAILED_READS):
            try:
                success, image = self._video.read()
            except cv2.error:
                success, image = False, None
            if success:
                self.skipped += failed
                return image
        return None

    def _warn_if_incomplete(self, yielded: int, end_s: float) -> None:
        read = yielded + self.skipped
        if self.skipped:
            warnings.warn(f"{self.name}: skipped {self.skipped} damaged frames", stacklevel=3)
        # Both must fall short: the count of frames is an estimate unless the container has an index.
        is_short = self._duration_s is not None and end_s < 0.9 * self._duration_s
        if is_short and self.frame_count and read < 0.9 * self.frame_count:
            warnings.warn(
                f"{self.name} ended after {read} of {self.frame_count} frames; it may be truncated", stacklevel=3
            )

    def _position_s(self) -> float:
        """Return the presentation time of the frame just read, counted from the first one; 0 if there is none."""
        return self._video.get(cv2.CAP_PROP_POS_MSEC) / 1000

    def _start_s(self) -> float:
        """Return the presentation time of the first frame, which OpenCV reports in units of the frame interval."""
        fps, frames = (self._video.get(key) for key in (cv2.CAP_PROP_FPS, _PRESENTATION_FRAMES))
        start_s = frames / fps - self._position_s() if fps > 0 else 0.0
        return start_s if 0 < start_s < MAX_START_S else 0.0

    def _pixel_scale_wh(self) -> tuple[float, float]:
        """Return the factors on width and height of a decoded image that make its pixels square."""
        width, height = self._video.get(cv2.CAP_PROP_SAR_NUM), self._video.get(cv2.CAP_PROP_SAR_DEN)
        aspect = width / height if width > 0 and height > 0 else 1.0
        if abs(aspect - 1) <= SQUARE_TOLERANCE or not 1 / MAX_PIXEL_ASPECT <= aspect <= MAX_PIXEL_ASPECT:
            return 1.0, 1.0
        turned_by = self._video.get(cv2.CAP_PROP_ORIENTATION_META)
        is_turned = turned_by % 180 != 0 and self._video.get(cv2.CAP_PROP_ORIENTATION_AUTO) != 0
        return (1.0, aspect) if is_turned else (aspect, 1.0)

    def _square(self, image: Image) -> Image:
        """Return an image with square pixels."""
        if self._scale_wh == (1.0, 1.0):
            return image
        size_wh = (
            max(1, round(image.shape[1] * self._scale_wh[0])),
            max(1, round(image.shape[0] * self._scale_wh[1])),
        )
        return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)

    def check_size(self) -> None:
        """Compare the declared frame size with the limit before a frame is decoded.

        OpenCV scales later frames of a different size to the declared one.

        Raises:
            SourceError: The size exceeds the limit.
        """
        width, height = self._video.get(cv2.CAP_PROP_FRAME_WIDTH), self._video.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if width * height > 1e6 * self._capture.max_megapixels:
            raise SourceError(
                f"{self.name} has frames of {width:.0f}x{height:.0f} pixels, above the limit of "
                f"{self._capture.max_megapixels:g} megapixels (`max_megapixels`)"
            )

    def __exit__(self, *_: object) -> None:
        """Release the file or device."""
        self._video.release()


def open_file(path: Path, capture: Capture) -> VideoSource:
    """Open a video file.

    Raises:
        SourceError: The file cannot be read as a video, or its frames are too large.
    """
    try:
        with native_path(path) as name:
            video = _open_ffmpeg(name)
    except OSError as error:
        raise SourceError(f"{shown_path(path)} cannot be opened: {error.strerror}") from error
    if video is None:
        raise SourceError(
            f"{shown_path(path)} cannot be read as a video; it may be damaged, truncated or in an unsupported format"
        )
    if capture.rotate != "auto":
        video.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
    return _checked(VideoSource(video, name=path_text(path), live=False, capture=capture))


def open_camera(device: Path, capture: Capture) -> VideoSource:
    """Open a V4L2 camera by its device node or by a persistent symbolic link to it.

    Raises:
        SourceNotFoundError: The device does not exist.
        SourceError: The device cannot be opened, or its frames are too large.
    """
    shown = shown_path(device)
    if not local_path(device, SourceNotFoundError).exists():
        from edgeinfer.sources.v4l2 import camera_nodes  # noqa: PLC0415 - only for this message

        available = ", ".join(str(path) for path in camera_nodes())
        if available:
            raise SourceNotFoundError(f"no camera at {shown}: choose one of {available}")
        raise SourceNotFoundError(f"no camera at {shown}: connect it, or use a file or a stream")
    with native_path(device.resolve()) as name:
        video = cv2.VideoCapture(name, cv2.CAP_V4L2)
    if not video.isOpened():
        raise SourceError(
            f"the camera {shown} cannot be opened; another program may be using it, "
            "or you may not be in the group 'video'"
        )
    return _camera(video, path_text(device), capture)


def open_numbered_camera(number: str, capture: Capture) -> VideoSource:
    """Open a camera by its number: on Linux that of its V4L2 device node, elsewhere the order of the system.

    Raises:
        SourceNotFoundError: No camera has this number.
        SourceError: The camera cannot be opened, or its frames are too large.
    """
    if sys.platform == "linux":
        return open_camera(Path(f"/dev/video{number}"), capture)
    video = cv2.VideoCapture(min(int(number), 2**31 - 1), cv2.CAP_ANY)
    if not video.isOpened():
        raise SourceNotFoundError(
            f"no camera {number}: connect it, close other programs that use it, and allow this program to use the "
            "camera in the privacy settings of the system"
        )
    return _camera(video, number, capture)


def _camera(video: cv2.VideoCapture, name: str, capture: Capture) -> VideoSource:
    """Return the source of an open camera, after requesting the size and the frame rate."""
    if capture.size_wh is not None:
        video.set(cv2.CAP_PROP_FRAME_WIDTH, capture.size_wh[0])
        video.set(cv2.CAP_PROP_FRAME_HEIGHT, capture.size_wh[1])
    if capture.fps is not None:
        video.set(cv2.CAP_PROP_FPS, capture.fps)
    return _checked(VideoSource(video, name=name, live=True, capture=capture))


def open_stream(url: str, capture: Capture) -> VideoSource:
    """Open a network stream, or a video on the network; it is live if its length is unknown.

    Raises:
        SourceError: The address is invalid, the stream cannot be opened, or its frames are too large.
    """
    name = path_text(without_credentials(url))
    if len(url) > MAX_URL_CHARACTERS or not _is_printable(url):
        raise SourceError(
            f"the address {shown_path(name)} is invalid: expected at most {MAX_URL_CHARACTERS} printable characters"
        )
    timeouts = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        STREAM_TIMEOUT_MS,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        STREAM_TIMEOUT_MS,
    ]
    video = _open_ffmpeg(url, timeouts)
    if video is None:
        raise SourceError(
            f"the stream {shown_path(name)} cannot be opened; check its address, its password and the network"
        )
    is_live = video.get(cv2.CAP_PROP_FRAME_COUNT) <= 0
    return _checked(VideoSource(video, name=name, live=is_live, capture=capture))


def _checked(source: VideoSource) -> VideoSource:
    try:
        source.check_size()
    except SourceError:
        source.__exit__()
        raise
    return source


def _is_printable(url: str) -> bool:
    """Return True if native libraries accept a URL: they crash on characters that are not Unicode."""
    return url.isprintable() and not any("\ud800" <= character <= "\udfff" for character in url)


def _open_ffmpeg(address: str, parameters: list[int] | None = None) -> cv2.VideoCapture | None:
    try:
        # By default, OpenCV starts a thread for each core of the machine; on one core, they slow each other down.
        threads = [cv2.CAP_PROP_N_THREADS, usable_cores()]
        video = cv2.VideoCapture(address, cv2.CAP_FFMPEG, [*threads, *(parameters or [])])
    except cv2.error:
        return None
    return video if video.isOpened() else None
