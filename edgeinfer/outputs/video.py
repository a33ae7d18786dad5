"""Annotated video output."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache

from edgeinfer.errors import CapabilityError, OutputError, UsageError, shown_path
from edgeinfer.outputs.base import check_writable, unused_path
from edgeinfer.outputs.draw import FaceBlur, annotate
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.outputs.video_base import VideoEncoder, VideoSettings
from edgeinfer.outputs.video_formats import SUFFIXES, fallback_remark
from edgeinfer.outputs.video_opencv import OpenCVEncoder
from edgeinfer.outputs.video_pyav import PyAVEncoder, missing_encoder
from edgeinfer.results import Frame, Image, Result
from edgeinfer.system.paths import local_path
from edgeinfer.units import counted

_WEBM = ".webm"
_PICTURES_FPS = 1.0
"""Frame rate of unrelated pictures, whose timestamps are their numbers."""
_log = logging.getLogger(__name__)


class VideoSink(AbstractContextManager["VideoSink"]):
    """Sink that writes an annotated video.

    With the extra `video`, .mp4 and .mkv contain H.264 and .webm VP9, and each frame has its timestamp in the source.
    Without it, OpenCV writes MPEG-4 Part 2 as .mp4 or .mkv, at a constant frame rate. The first frame determines the
    size of the video; frames of other sizes are fitted into it. A run without frames leaves an existing file unchanged.

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

    def __init__(self, path: str, *, append: bool = False, blur: bool = False, threads: int | None = None) -> None:
        """Validate the path; the file is created with the first frames.

        Args:
            path: Path that ends in .mp4, .mkv or .webm.
            append: Keep an existing file, and write to the first unused name of "x-1.mp4", "x-2.mp4", ...
            blur: Make faces unrecognizable.
            threads: Number of threads of the encoder, 1 or more. By default up to four, and up to two for a live
                source, but not more than OpenCV uses.

        Raises:
            UsageError: The suffix is not supported.
            CapabilityError: WebM needs a package that is not installed.
            OutputError: The folder does not exist or is not writable.
        """
        self._path, self._append = local_path(path, OutputError, expand_home=False), append
        suffix = self._path.suffix.lower()
        if suffix not in SUFFIXES:
            raise UsageError(
                f"unsupported video format of {shown_path(path)}: expected a name that ends in .mp4, .mkv or .webm"
            )
        check_writable(self._path)
        self._create, self._remark = _choose_encoder(suffix)
        self._blur, self._threads = FaceBlur() if blur else None, threads
        self._fps: float | None = None
        self._encoder: VideoEncoder | None = None
        self._frames = 0

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Store the nominal frame rate of the source.

        Raises:
            UsageError: The source is live, and the format is WebM.
        """
        self._fps = _PICTURES_FPS if header.has_pictures else header.fps
        self._check_speed(live=header.live)

    def write(self, frame: Frame, result: Result) -> None:
        """Annotate one frame and append it to the video.

        Raises:
            UsageError: The source is live, and the format is WebM.
            CapabilityError: OpenCV cannot write the format.
            OutputError: The file cannot be written.
        """
        image = self._blur(frame, result) if self._blur else frame.image
        picture = annotate(image, result, track_ids=frame.picture is None)
        if self._encoder is None:
            self._encoder = self._begin(picture, live=frame.captured_s is not None)
        self._frames += 1
        self._encoder.add(frame.timestamp_s, picture)

    @property
    def written(self) -> tuple[str, ...]:
        """Path and number of frames."""
        return (f"{shown_path(self._path)} ({counted(self._frames, 'frame')})",) if self._frames else ()

    def __exit__(self, *_: object) -> None:
        """Finish the file.

        Raises:
            OutputError: The file cannot be written, or it is incomplete.
            CapabilityError: OpenCV cannot write the format.
        """
        encoder, self._encoder = self._encoder, None
        if encoder is not None:
            encoder.close()

    def _begin(self, picture: Image, *, live: bool) -> VideoEncoder:
        self._check_speed(live=live)
        if self._append:
            self._path = unused_path(self._path)
        if self._remark:
            _log_once(self._remark)
        height, width = picture.shape[:2]
        return self._create(VideoSettings(self._path, (width, height), self._fps, live, self._threads))

    def _check_speed(self, *, live: bool) -> None:
        if live and self._path.suffix.lower() == _WEBM:
            raise UsageError(
                f"cannot write {shown_path(self._path)} from a live source: WebM is for files only; use .mp4 or .mkv"
            )


def _choose_encoder(suffix: str) -> tuple[Callable[[VideoSettings], VideoEncoder], str]:
    """Return the encoder of a format, and a remark for the log, which may be empty.

    Raises:
        CapabilityError: The format needs PyAV, or another build of it.
    """
    missing = missing_encoder(suffix)
    if missing is None:
        return PyAVEncoder, ""
    if suffix == _WEBM:
        raise CapabilityError(f"WebM needs {missing}")
    return OpenCVEncoder, fallback_remark(missing)


@cache
def _log_once(remark: str) -> None:
    _log.warning(remark)
