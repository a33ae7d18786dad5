"""Where frames come from: a video, pictures, a camera, a stream."""

from __future__ import annotations

import glob
import re
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self, get_args, runtime_checkable
from urllib.parse import urlsplit, urlunsplit

import cv2
import numpy as np

from edgeinfer.errors import SourceError, SourceLostError, SourceNotFoundError, UsageError
from edgeinfer.live import LiveSource
from edgeinfer.preprocess import Image

Mode = Literal["auto", "file", "live"]
MODES: tuple[Mode, ...] = get_args(Mode)
PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm"})
STREAM_TIMEOUT_MS = 10_000


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a source.

    Attributes:
        image: (H, W, 3) BGR uint8.
        index: position in the source, from 0.
        timestamp_s: presentation time in seconds, from the source's first frame on for cameras and streams.
        captured_s: when it was read, in seconds of `time.monotonic()`; None where nobody looked at the clock.
    """

    image: Image
    index: int
    timestamp_s: float
    captured_s: float | None = None


@runtime_checkable
class Source(Protocol):
    """The role of whatever gives frames. A context manager that can be iterated once.

    Attributes:
        name: for people and outputs, free of credentials.
        live: whether frames come in real time, so that a slow reader falls behind.
        continuous: whether frames follow each other, as in a video; pictures of a folder do not.
        fps: frames a second where the source tells, else None.
        frame_count: frames in all where the source tells, else None.
        dropped: frames read so far and never given, since a newer one was there.
    """

    name: str
    live: bool
    continuous: bool
    fps: float | None
    frame_count: int | None
    dropped: int

    def __iter__(self) -> Iterator[Frame]: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool | None: ...


class VideoSource(AbstractContextManager["VideoSource"]):
    """A video file, camera or stream through OpenCV, every frame in order."""

    continuous = True
    dropped = 0

    def __init__(self, capture: cv2.VideoCapture, *, name: str, live: bool) -> None:
        """Take over an opened capture.

        Args:
            capture: released by this source.
            name: for people and outputs.
            live: whether an end of frames is a loss.
        """
        self._capture = capture
        self.name, self.live = name, live
        fps, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.fps: float | None = fps if 0 < fps <= 1000 else None
        self.frame_count: int | None = int(count) if not live and count > 0 else None

    def __iter__(self) -> Iterator[Frame]:
        """Give frames until the end.

        Raises:
            SourceError: not a single frame could be read.
            SourceLostError: a live source stopped after it had delivered frames.
        """
        started = time.monotonic()
        index, last_s = 0, -1.0
        while True:
            read, image = self._capture.read()
            if not read:
                break
            captured_s = time.monotonic()
            last_s = captured_s - started if self.live else self._timestamp(index, last_s)
            yield Frame(_bgr(image), index, last_s, captured_s)
            index += 1
        if index == 0:
            raise SourceError(f"{self.name} opened but gave no frame; is it whole, and is the camera free?")
        if self.live:
            raise SourceLostError(
                f"{self.name} was lost after {index} frames; check its cable or network and start again"
            )
        if self.frame_count and index < 0.9 * self.frame_count:
            warnings.warn(
                f"{self.name} ended after {index} of {self.frame_count} frames; it may be truncated",
                stacklevel=2,
            )

    def _timestamp(self, index: int, last_s: float) -> float:
        stated_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if stated_s > last_s:
            return stated_s
        return last_s + 1 / (self.fps or 30.0) if index else 0.0

    def __exit__(self, *_: object) -> None:
        """Let go of the file or device."""
        self._capture.release()


class PictureSource(AbstractContextManager["PictureSource"]):
    """One picture, or several that do not follow each other."""

    live = False
    continuous = False
    dropped = 0
    fps: float | None = None

    def __init__(self, paths: Sequence[Path], *, name: str) -> None:
        """Take the pictures in this order."""
        self._paths = tuple(paths)
        self.name = name
        self.frame_count: int | None = len(self._paths)

    def __iter__(self) -> Iterator[Frame]:
        """Give each readable picture; warn of the others.

        Raises:
            SourceError: not a single picture could be read.
        """
        given = 0
        for path in self._paths:
            image = _read_picture(path)
            if image is None:
                if len(self._paths) > 1:
                    warnings.warn(f"{path} is not a readable picture and was left out", stacklevel=2)
                continue
            yield Frame(image, given, float(given))
            given += 1
        if not given:
            raise SourceError(f"{self.name} is not a readable picture; it may be empty or damaged")

    def __exit__(self, *_: object) -> None:
        """Nothing is held open between pictures."""


def open_source(source: str | int | Path, *, mode: Mode = "auto") -> Source:
    """Open whatever a user names.

    Args:
        source: a video or picture file, a folder or glob of pictures, a camera's number or `/dev/videoN`, or the
            URL of a stream.
        mode: "file" gives every frame in order; "live" gives the newest one and drops the others, and plays a file in
            real time; "auto" is "live" for cameras and endless streams, else "file".

    Returns:
        A source to be used in a `with` statement.

    Raises:
        SourceNotFoundError: nothing is there.
        SourceError: it cannot be opened.
        UsageError: no such mode, or "live" for pictures, which have no time.
    """
    if mode not in MODES:
        raise UsageError(f"no mode is called {mode}; choose one of {', '.join(MODES)}")
    opened = _open(str(source))
    if mode == "live" and not opened.continuous:
        raise UsageError(f"{opened.name} is no video; pictures have no time to be played in, so leave out the mode")
    if mode == "live" or (mode == "auto" and opened.live):
        return LiveSource(opened, paced=not opened.live)
    return opened


def _open(text: str) -> Source:
    if text.isdecimal():
        return _open_camera(Path(f"/dev/video{text}"))
    if text.startswith("/dev/video"):
        return _open_camera(Path(text))
    if re.match(r"[a-z][a-z0-9+.-]+://", text, re.IGNORECASE):
        return _open_stream(text)
    path = Path(text).expanduser()
    if path.is_dir():
        return _open_pictures(sorted(path.iterdir()), text)
    if path.is_file():
        return _open_file(path)
    if glob.has_magic(text):
        return _open_pictures([Path(p) for p in sorted(glob.glob(str(path)))], text)  # noqa: PTH207 - absolute patterns too
    if path.exists():
        raise SourceError(f"{text} is neither a file nor a folder")
    raise SourceNotFoundError(
        f"no source at {text}; give a video, a picture, a folder, a camera number or a stream URL"
    )


def without_credentials(url: str) -> str:
    """A URL without user name, password and query, which may hold a key."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def cameras() -> tuple[Path, ...]:
    """The video devices of this machine."""
    return tuple(sorted(Path("/dev").glob("video[0-9]*"), key=lambda p: int(p.name.removeprefix("video"))))


def _open_file(path: Path) -> Source:
    if path.stat().st_size == 0:
        raise SourceError(f"{path} is empty; expected a video or a picture")
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return PictureSource([path], name=str(path))
    try:
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    except cv2.error:
        capture = None
    if capture is None or not capture.isOpened():
        raise SourceError(f"{path} is not a video that can be read; it may be damaged, truncated or of an unknown kind")
    return VideoSource(capture, name=str(path), live=False)


def _open_pictures(paths: Sequence[Path], name: str) -> Source:
    pictures = [path for path in paths if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()]
    if not pictures:
        raise SourceNotFoundError(
            f"no pictures at {name}; expected files ending in {', '.join(sorted(PICTURE_SUFFIXES))}"
        )
    return PictureSource(pictures, name=name)


def _open_camera(device: Path) -> Source:
    if not device.exists():
        there = ", ".join(str(path) for path in cameras()) or "none"
        raise SourceNotFoundError(f"no camera at {device}; cameras here: {there}")
    capture = cv2.VideoCapture(str(device), cv2.CAP_V4L2)
    if not capture.isOpened():
        raise SourceError(
            f"the camera {device} cannot be opened; another program may hold it, or you may not be in the group 'video'"
        )
    return VideoSource(capture, name=str(device), live=True)


def _open_stream(url: str) -> Source:
    name = without_credentials(url)
    timeouts = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        STREAM_TIMEOUT_MS,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        STREAM_TIMEOUT_MS,
    ]
    try:
        capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, timeouts)
    except cv2.error:
        capture = None
    if capture is None or not capture.isOpened():
        raise SourceError(f"the stream {name} cannot be opened; check its address, its password and the network")
    return VideoSource(capture, name=name, live=capture.get(cv2.CAP_PROP_FRAME_COUNT) <= 0)


def _read_picture(path: Path) -> Image | None:
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except (OSError, cv2.error):
        return None
    return None if image is None else np.asarray(image, dtype=np.uint8)


def _bgr(image: Any) -> Image:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image, dtype=np.uint8)
