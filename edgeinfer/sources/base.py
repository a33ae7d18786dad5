"""What a source gives and what it is, and how its pictures are turned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Literal, Protocol, Self, get_args, runtime_checkable

import cv2
import numpy as np

from edgeinfer.errors import UsageError
from edgeinfer.results import Frame

Turn = Literal["auto", "0", "90", "180", "270"]
TURNS: tuple[Turn, ...] = get_args(Turn)
_CLOCKWISE = {"90": cv2.ROTATE_90_CLOCKWISE, "180": cv2.ROTATE_180, "270": cv2.ROTATE_90_COUNTERCLOCKWISE}


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
        skipped: frames so far that could not be decoded.
    """

    name: str
    live: bool
    continuous: bool
    fps: float | None
    frame_count: int | None
    dropped: int
    skipped: int

    def __iter__(self) -> Iterator[Frame]: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool | None: ...


@dataclass(frozen=True, slots=True)
class Capture:
    """What is asked of a camera, and how its pictures, or those of any other source, are turned.

    Attributes:
        size_wh: width and height in pixels; a camera takes the nearest that it has, a stream of raw frames on stdin
            has exactly this one. None is the camera's own choice, 640 by 480 for a CSI camera.
        fps: frames a second; a camera takes the nearest that it has. On stdin, which tells no times, they are taken
            from this rate.
        rotate: degrees clockwise; "auto" as the file says of itself.
        flip: mirror left and right, after turning.
        pixels: layout of raw frames on stdin by FFmpeg's name, None for MJPEG.

    Raises:
        UsageError: a value is out of bounds.
    """

    size_wh: tuple[int, int] | None = None
    fps: float | None = None
    rotate: Turn = "auto"
    flip: bool = False
    pixels: str | None = None

    def __post_init__(self) -> None:
        if self.size_wh is not None and not all(1 <= side <= 16_384 for side in self.size_wh):
            raise UsageError(f"a size of {self.size_wh[0]}x{self.size_wh[1]} is out of bounds; a side is 1 to 16384")
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise UsageError(f"{self.fps} frames a second are out of bounds; give more than 0, up to 1000")
        if self.rotate not in TURNS:
            raise UsageError(f"rotate is {self.rotate!r}; choose one of {', '.join(TURNS)}")

    def turned(self, frame: Frame) -> Frame:
        """The frame with its picture turned and mirrored; what "auto" knows was done by whoever read it."""
        if self.rotate not in _CLOCKWISE and not self.flip:
            return frame
        image = cv2.rotate(frame.image, _CLOCKWISE[self.rotate]) if self.rotate in _CLOCKWISE else frame.image
        image = cv2.flip(image, 1) if self.flip else image
        return replace(frame, image=np.asarray(image, dtype=np.uint8))


Mode = Literal["auto", "file", "live"]
MODES: tuple[Mode, ...] = get_args(Mode)


Pixels = Literal["bgr24", "rgb24", "gray", "yuv420p"]
PIXELS: tuple[Pixels, ...] = get_args(Pixels)
