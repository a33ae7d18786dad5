"""Annotated video output."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path

import cv2
import numpy as np

from edgeinfer.errors import OutputError, UsageError
from edgeinfer.outputs.base import check_writable
from edgeinfer.outputs.draw import FaceBlur, annotate
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import Frame, Image, Result

DEFAULT_FPS = 30.0
"""Frame rate of the video if that of the source is unknown, in frames per second."""


class VideoSink(AbstractContextManager["VideoSink"]):
    """Sink that writes an annotated MP4 video.

    The first frame determines the size of the video; frames of other sizes are fitted into it. The file is created
    with the first frame, so a run without frames leaves an existing file unchanged.

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
        self._path, self._append = Path(path), append
        if self._path.suffix.lower() != ".mp4":
            raise UsageError(f"unsupported video format of {path!r}: expected a name that ends in .mp4")
        check_writable(self._path)
        self._blur = FaceBlur() if blur else None
        self._writer: cv2.VideoWriter | None = None
        self._size_wh, self._fps, self._frames = (0, 0), DEFAULT_FPS, 0

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Set the frame rate of the video to that of the source, or to 30 frames per second if it is unknown."""
        self._fps = header.fps or DEFAULT_FPS

    def write(self, frame: Frame, result: Result) -> None:
        """Annotate one frame and append it to the video.

        Raises:
            OutputError: The file cannot be created.
        """
        picture = annotate(self._blur(frame.image, result) if self._blur else frame.image, result)
        if self._writer is None:
            self._writer = self._open((picture.shape[1], picture.shape[0]))
        self._writer.write(_fit(picture, self._size_wh))
        self._frames += 1

    def _open(self, size_wh: tuple[int, int]) -> cv2.VideoWriter:
        if self._append:
            self._path = _unused(self._path)
        self._size_wh = size_wh
        writer = cv2.VideoWriter(str(self._path), cv2.VideoWriter.fourcc(*"mp4v"), self._fps, size_wh)
        if not writer.isOpened():
            raise OutputError(
                f"cannot write the video {self._path}: the disk may be full, or this OpenCV may lack an MPEG-4 encoder"
            )
        return writer

    def __exit__(self, *_: object) -> None:
        """Finish the file.

        Raises:
            OutputError: The file has fewer frames than were written; OpenCV's writer does not report write errors.
        """
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        written = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        frames = int(written.get(cv2.CAP_PROP_FRAME_COUNT))
        written.release()
        if frames < self._frames:
            raise OutputError(f"the video {self._path} is incomplete; free disk space and run again")


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
