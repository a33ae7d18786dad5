"""MPEG-4 Part 2 through OpenCV, with a constant frame rate."""

from __future__ import annotations

import logging

import cv2

from edgeinfer.errors import CapabilityError, OutputError, shown_path
from edgeinfer.outputs.base import check_writable
from edgeinfer.outputs.constant_rate import ConstantRate, choose_rate
from edgeinfer.outputs.video_base import VideoSettings, fit
from edgeinfer.outputs.video_formats import INSTALL
from edgeinfer.results import Image
from edgeinfer.system import interrupts
from edgeinfer.system.paths import native_path

RATE_FRAMES = 8
"""Number of first frames that determine the frame rate."""
RATE_BYTES = 32_000_000
"""Maximum total size of the first frames that are held back, in bytes; at least two frames are."""
_log = logging.getLogger(__name__)


class OpenCVEncoder:
    """Video file that is encoded by OpenCV's writer.

    A frame is repeated until the next one is due, because the writer has no timestamps. A gap of more than 5 minutes is
    shortened to 5 minutes. The file is created after the first frames, which determine the frame rate.
    """

    def __init__(self, settings: VideoSettings) -> None:
        """Store the settings; the file does not exist yet."""
        self._settings = settings
        self._first: list[tuple[float, Image]] = []
        self._video: _OpenVideo | None = None

    def add(self, time_s: float, picture: Image) -> None:
        """Show a picture from its timestamp onwards.

        Raises:
            OutputError: The file cannot be created.
            CapabilityError: OpenCV cannot write this format.
        """
        if self._video is not None:
            self._video.add(time_s, picture)
            return
        self._first.append((time_s, picture))
        if len(self._first) >= min(RATE_FRAMES, max(2, RATE_BYTES // picture.nbytes)):
            self._begin()

    def close(self) -> None:
        """Write the frames that are held back, and finish the file.

        Raises:
            OutputError: The file cannot be created, or it is incomplete; OpenCV's writer does not report write errors.
            CapabilityError: OpenCV cannot write this format.
        """
        video = self._begin() if self._first else self._video
        self._video = None
        if video is not None:
            video.close()

    def _begin(self) -> _OpenVideo:
        """Create the file, at the frame rate of the first frames, and write those frames."""
        first, self._first = self._first, []
        times_s = [time_s for time_s, _ in first]
        fps = choose_rate(self._settings.fps, times_s, live=self._settings.live)
        self._video = video = _OpenVideo(self._settings, ConstantRate(fps, times_s[0]))
        for time_s, picture in first:
            video.add(time_s, picture)
        return video


class _OpenVideo:
    """A video file that is being written; the latest frame is held back until the slot of the next one is known."""

    def __init__(self, settings: VideoSettings, rate: ConstantRate) -> None:
        width, height = settings.size_wh
        self._path, self._rate, self._size_wh = settings.path, rate, (max(2, width), max(2, height))
        self._latest: Image | None = None
        self._slot = self._written = 0
        check_writable(self._path)
        shown = shown_path(self._path)
        try:
            with native_path(self._path) as name:
                self._writer = cv2.VideoWriter(name, cv2.VideoWriter.fourcc(*"mp4v"), rate.fps, self._size_wh)
        except OSError as error:
            raise OutputError(f"cannot write the video {shown}: {error.strerror}") from error
        if self._writer.isOpened():
            return
        if self._path.suffix.lower() != ".mp4":
            raise CapabilityError(f"this OpenCV cannot write {shown}; use .mp4, or install PyAV with: {INSTALL}")
        raise OutputError(
            f"cannot write the video {shown}: the disk may be full, or this OpenCV may lack an MPEG-4 encoder"
        )

    def add(self, time_s: float, picture: Image) -> None:
        """Show a picture from its timestamp onwards."""
        slot = self._rate.place(time_s)
        if slot is None:
            return
        self._repeat_latest(slot - self._slot)
        self._latest = fit(picture, self._size_wh)
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
            OutputError: The last frame cannot be read.
        """
        self._repeat_latest(1)
        self._writer.release()
        if self._rate.shortened_s:
            _log.warning(
                "%s: gaps in the source were shortened by %.0f s in total",
                shown_path(self._path),
                self._rate.shortened_s,
            )
        if not self._has_last_frame():
            raise OutputError(f"the video {shown_path(self._path)} is incomplete; free disk space and run again")

    def _has_last_frame(self) -> bool:
        try:
            with native_path(self._path) as name:
                written = cv2.VideoCapture(name, cv2.CAP_FFMPEG)
        except OSError:
            return False
        written.set(cv2.CAP_PROP_POS_FRAMES, self._written - 1)
        complete = written.grab()
        written.release()
        return complete
