"""Annotated video output."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path

import cv2
import numpy as np

from edgeinfer.errors import OutputError, UsageError, shown_path
from edgeinfer.outputs.base import check_writable
from edgeinfer.outputs.constant_rate import ConstantRate, choose_rate
from edgeinfer.outputs.draw import FaceBlur, annotate
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import Frame, Image, Result
from edgeinfer.system import interrupts
from edgeinfer.system.paths import local_path, native_path
from edgeinfer.units import counted

RATE_FRAMES = 8
"""Number of first frames that determine the frame rate."""
RATE_BYTES = 32_000_000
"""Maximum total size of the first frames that are held back, in bytes; at least two frames are."""
_log = logging.getLogger(__name__)


class VideoSink(AbstractContextManager["VideoSink"]):
    """Sink that writes an annotated MP4 video.

    The video keeps the timing of the source: it has a constant frame rate, and a frame is repeated until the next one
    is due. A gap of more than 5 minutes is shortened to 5 minutes. The first frame determines the size of the video;
    frames of other sizes are fitted into it. The file is created after the first frames, so a run without frames
    leaves an existing file unchanged.

    Attributes:
        written: Path and number of frames, for the summary of a run; empty before the first frame.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import edgeinfer
        >>> from edgeinfer.model.card import asset_path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "annotated.mp4")
        ...     with edgeinfer.open_source(str(asset_path("demo.mp4"))) as source:
        ...         summary = edgeinfer.run(
        ...             source, edgeinfer.load_pipeline(), [edgeinfer.VideoSink(str(path))], max_frames=2
        ...         )
        ...     path.stat().st_size > 0
        True
    """

    def __init__(self, path: str, *, append: bool = False, blur: bool = False) -> None:
        """Validate the path; the file is created with the first frame.

        Args:
            path: Path that ends in .mp4.
            append: Keep an existing file, and write to the first unused name of "x-1.mp4", "x-2.mp4", ...
            blur: Make faces unrecognizable.

        Raises:
            UsageError: The suffix is not .mp4.
            OutputError: The folder does not exist or is not writable.
        """
        self._path, self._append = local_path(path, OutputError, expand_home=False), append
        if self._path.suffix.lower() != ".mp4":
            raise UsageError(f"unsupported video format of {shown_path(path)}: expected a name that ends in .mp4")
        check_writable(self._path)
        self._blur = FaceBlur() if blur else None
        self._nominal_fps: float | None = None
        self._first: list[tuple[float, Image]] = []
        self._live = False
        self._video: _OpenVideo | None = None
        self._frames = 0

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Store the nominal frame rate of the source."""
        self._nominal_fps = header.fps

    def write(self, frame: Frame, result: Result) -> None:
        """Annotate one frame and append it to the video.

        Raises:
            OutputError: The file cannot be created.
        """
        self._frames += 1
        picture = annotate(self._blur(frame.image, result) if self._blur else frame.image, result)
        if self._video is not None:
            self._video.add(frame.timestamp_s, picture)
            return
        self._live = frame.captured_s is not None
        self._first.append((frame.timestamp_s, picture))
        if len(self._first) >= min(RATE_FRAMES, max(2, RATE_BYTES // picture.nbytes)):
            self._begin()

    @property
    def written(self) -> tuple[str, ...]:
        """Path and number of frames."""
        return (f"{shown_path(self._path)} ({counted(self._frames, 'frame')})",) if self._frames else ()

    def _begin(self) -> _OpenVideo:
        """Create the file, at the frame rate of the first frames, and write those frames."""
        if self._append:
            self._path = _unused(self._path)
        times_s = [time_s for time_s, _ in self._first]
        height, width = self._first[0][1].shape[:2]
        rate = ConstantRate(choose_rate(self._nominal_fps, times_s, live=self._live), times_s[0])
        self._video = video = _OpenVideo(self._path, rate, (max(2, width), max(2, height)))
        first, self._first = self._first, []
        for time_s, picture in first:
            video.add(time_s, picture)
        return video

    def __exit__(self, *_: object) -> None:
        """Finish the file.

        Raises:
            OutputError: The file cannot be created, or it has fewer frames than were written; OpenCV's writer does not
                report write errors.
        """
        video = self._begin() if self._first else self._video
        self._video = None
        if video is not None:
            video.close()


class _OpenVideo:
    """A video file that is being written; the latest frame is held back until the slot of the next one is known."""

    def __init__(self, path: Path, rate: ConstantRate, size_wh: tuple[int, int]) -> None:
        self._path, self._rate, self._size_wh = path, rate, size_wh
        self._latest: Image | None = None
        self._slot = self._written = 0
        try:
            with native_path(path) as name:
                self._writer = cv2.VideoWriter(name, cv2.VideoWriter.fourcc(*"mp4v"), rate.fps, size_wh)
        except OSError as error:
            raise OutputError(f"cannot write the video {shown_path(path)}: {error.strerror}") from error
        if not self._writer.isOpened():
            raise OutputError(
                f"cannot write the video {shown_path(path)}: the disk may be full, or this OpenCV may lack an MPEG-4 "
                "encoder"
            )

    def add(self, time_s: float, picture: Image) -> None:
        """Show a picture from its timestamp onwards."""
        slot = self._rate.place(time_s)
        if slot is None:
            return
        self._repeat_latest(slot - self._slot)
        self._latest = _fit(picture, self._size_wh)
        if not self._written:
            self._repeat_latest(slot)  # the time before the first frame
        self._slot = slot

    def _repeat_latest(self, times: int) -> None:
        if self._latest is None:
            return
        for repeat in range(times):
            if repeat and interrupts.is_interrupted():  # a long gap would delay the end of the run
                return
            self._writer.write(self._latest)
            self._written += 1

    def close(self) -> None:
        """Write the latest picture and finish the file.

        Raises:
            OutputError: The file has fewer frames than were written.
        """
        self._repeat_latest(1)
        self._writer.release()
        if self._rate.shortened_s:
            _log.warning(
                "%s: gaps in the source were shortened by %.0f s in total",
                shown_path(self._path),
                self._rate.shortened_s,
            )
        if self._count_frames() < self._written:
            raise OutputError(f"the video {shown_path(self._path)} is incomplete; free disk space and run again")

    def _count_frames(self) -> int:
        try:
            with native_path(self._path) as name:
                written = cv2.VideoCapture(name, cv2.CAP_FFMPEG)
        except OSError:
            return 0
        frames = int(written.get(cv2.CAP_PROP_FRAME_COUNT))
        written.release()
        return frames


def _unused(path: Path) -> Path:
    """Return the path, with a number appended to its stem if it exists."""
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in count(1))
    return path if not path.exists() else next(name for name in numbered if not name.exists())


def _fit(picture: Image, size_wh: tuple[int, int]) -> Image:
    """Scale a picture to fit a size, with black bars at the sides."""
    height, width = picture.shape[:2]
    if (width, height) == size_wh:
        return picture
    scale = min(size_wh[0] / width, size_wh[1] / height)
    scaled_w, scaled_h = max(1, int(width * scale)), max(1, int(height * scale))
    x, y = (size_wh[0] - scaled_w) // 2, (size_wh[1] - scaled_h) // 2
    canvas = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    canvas[y : y + scaled_h, x : x + scaled_w] = cv2.resize(picture, (scaled_w, scaled_h), interpolation=cv2.INTER_AREA)
    return canvas
