"""Where results are seen: an annotated video, a window."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgeinfer.errors import OutputError, UsageError
from edgeinfer.outputs.base import check_writable
from edgeinfer.outputs.draw import FaceBlur, annotate
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import Frame, Result


class VideoSink(AbstractContextManager["VideoSink"]):
    """An annotated MP4. Pictures of another size than the first are fitted into it."""

    def __init__(self, path: str, *, append: bool = False, blur: bool = False) -> None:
        """Name the file; it is opened with the first frame.

        Args:
            path: of the file.
            append: keep an older file, and write beside it under the first free of the names "x-1.mp4", "x-2.mp4", …
            blur: make faces unrecognizable.

        Raises:
            UsageError: the suffix is not .mp4.
            OutputError: its folder does not exist or cannot be written.
        """
        self._path, self._append = Path(path), append
        if self._path.suffix.lower() != ".mp4":
            raise UsageError(f"a video is written as .mp4, not {self._path.suffix or path!r}")
        check_writable(self._path)
        self._blur = FaceBlur() if blur else None
        self._writer: cv2.VideoWriter | None = None
        self._size_wh, self._fps, self._frames = (0, 0), 30.0, 0

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Take the source's rate; 30 a second where it tells none."""
        self._fps = header.fps or 30.0

    def write(self, frame: Frame, result: Result) -> None:
        """Annotate and append one frame."""
        picture = annotate(self._blur(frame.image, result) if self._blur else frame.image, result)
        if self._writer is None:
            if self._append:
                self._path = _free(self._path)
            self._size_wh = (picture.shape[1], picture.shape[0])
            self._writer = cv2.VideoWriter(str(self._path), cv2.VideoWriter.fourcc(*"mp4v"), self._fps, self._size_wh)
            if not self._writer.isOpened():
                raise OutputError(
                    f"cannot write the video {self._path}; is the disk full, or MPEG-4 missing in this OpenCV?"
                )
        self._writer.write(_fit(picture, self._size_wh))
        self._frames += 1

    def __exit__(self, *_: object) -> None:
        """Finish the file.

        Raises:
            OutputError: not all of it reached the disk, which the writer itself does not tell.
        """
        if self._writer is not None:
            self._writer.release()
            self._writer = None
            written = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
            count = int(written.get(cv2.CAP_PROP_FRAME_COUNT))
            written.release()
            if count < self._frames:
                raise OutputError(f"the video {self._path} is not whole; is the disk full?")


def _free(path: Path) -> Path:
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in count(1))
    return path if not path.exists() else next(name for name in numbered if not name.exists())


def _fit(picture: np.ndarray[Any, np.dtype[np.uint8]], size_wh: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    height, width = picture.shape[:2]
    if (width, height) == size_wh:
        return picture
    scale = min(size_wh[0] / width, size_wh[1] / height)
    wide, high = max(1, int(width * scale)), max(1, int(height * scale))
    x, y = (size_wh[0] - wide) // 2, (size_wh[1] - high) // 2
    canvas = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    canvas[y : y + high, x : x + wide] = cv2.resize(picture, (wide, high), interpolation=cv2.INTER_AREA)
    return canvas
