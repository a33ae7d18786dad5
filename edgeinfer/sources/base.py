"""Source roles, capture settings and the names of source modes and pixel layouts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol, Self, get_args, runtime_checkable

from edgeinfer.errors import UsageError
from edgeinfer.sources.picture_size import LARGEST_LIMIT_MEGAPIXELS, MAX_MEGAPIXELS

if TYPE_CHECKING:
    from edgeinfer.results import Frame, Image, SourceState

Turn = Literal["auto", "0", "90", "180", "270"]
TURNS: tuple[Turn, ...] = get_args(Turn)

Mode = Literal["auto", "file", "live"]
MODES: tuple[Mode, ...] = get_args(Mode)

Pixels = Literal["bgr24", "rgb24", "gray", "yuv420p"]
PIXELS: tuple[Pixels, ...] = get_args(Pixels)

CSI = "csi:"
"""Prefix of the address of a Raspberry Pi ribbon camera."""
MAX_SIDE = 16_384
MAX_FPS = 1000


@runtime_checkable
class Source(Protocol):
    """An iterable of frames and a context manager. A source can be iterated once.

    Attributes:
        name: Display name, free of credentials.
        live: True if frames arrive in real time, so that a slow consumer falls behind.
        continuous: True if frames follow each other in time, as in a video; False for unrelated pictures.
        fps: Nominal frames per second, or None if unknown.
        frame_count: Total number of frames, or None if unknown.
        dropped: Number of frames read but not yielded because a newer one was available.
        skipped: Number of frames that could not be decoded, and of files of a folder or glob that were not read.

    Examples:
        >>> import edgeinfer
        >>> from edgeinfer.model.card import asset_path
        >>> with edgeinfer.open_source(asset_path("demo.mp4")) as source:
        ...     isinstance(source, edgeinfer.Source), source.live, source.continuous
        (True, False, True)
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


@runtime_checkable
class ReconnectingSource(Source, Protocol):
    """A live source that reopens the underlying source after a loss and publishes its connection state."""

    @property
    def reconnects(self) -> int:
        """Number of times that frames resumed after a loss."""

    @property
    def waits_for_source(self) -> bool:
        """True if the retry limit allows the underlying source to be unavailable at start-up."""

    def add_state_listener(self, listener: Callable[[SourceState], None]) -> None:
        """Register a callback that receives every later change of state."""


@dataclass(frozen=True, slots=True)
class Capture:
    """Capture settings requested from a camera, and the orientation applied to the frames of any source.

    Attributes:
        size_wh: (width, height) in pixels, each 1 to 16384. A camera uses its nearest mode; raw frames on stdin must
            have exactly this size. None selects the camera's default (640x480 for a CSI camera).
        fps: Frames per second, above 0 and at most 1000. A camera uses the nearest rate that it supports. Input on
            stdin has no timestamps; with `fps`, they are computed from this rate.
        rotate: Clockwise rotation in degrees; "auto" applies the orientation stored in the file.
        flip: True to mirror horizontally, after the rotation.
        pixels: FFmpeg name of the pixel layout of raw frames on stdin: "bgr24", "rgb24", "gray" or "yuv420p". None
            if stdin carries MJPEG.
        max_megapixels: Size limit of pictures, MJPEG frames and camera modes in millions of pixels, above 0 and at
            most 268. It is compared with the size in the header before decoding.

    Raises:
        UsageError: A value is out of range.

    Examples:
        >>> import edgeinfer
        >>> capture = edgeinfer.Capture(size_wh=(1280, 720), fps=15, rotate="90")
        >>> capture.size_wh
        (1280, 720)
        >>> edgeinfer.Capture(fps=0)
        Traceback (most recent call last):
        ...
        edgeinfer.errors.UsageError: invalid frame rate 0: expected a value above 0 and at most 1000 fps
    """

    size_wh: tuple[int, int] | None = None
    fps: float | None = None
    rotate: Turn = "auto"
    flip: bool = False
    pixels: str | None = None
    max_megapixels: float = MAX_MEGAPIXELS

    def __post_init__(self) -> None:
        if self.size_wh is not None and not all(1 <= side <= MAX_SIDE for side in self.size_wh):
            raise UsageError(
                f"invalid size {self.size_wh[0]}x{self.size_wh[1]}: expected a width and height of 1 to {MAX_SIDE}"
            )
        if not 0 < self.max_megapixels <= LARGEST_LIMIT_MEGAPIXELS:
            raise UsageError(
                f"invalid `max_megapixels` {self.max_megapixels:g}: expected a value above 0 and at most "
                f"{LARGEST_LIMIT_MEGAPIXELS:g}"
            )
        if self.size_wh is not None and self.size_wh[0] * self.size_wh[1] > 1e6 * self.max_megapixels:
            raise UsageError(
                f"invalid size {self.size_wh[0]}x{self.size_wh[1]}: above the limit of {self.max_megapixels:g} "
                "megapixels (`max_megapixels`)"
            )
        if self.fps is not None and not 0 < self.fps <= MAX_FPS:
            raise UsageError(f"invalid frame rate {self.fps}: expected a value above 0 and at most {MAX_FPS} fps")
        if self.rotate not in TURNS:
            raise UsageError(f"invalid rotation {self.rotate!r}: expected one of {', '.join(TURNS)}")

    def turned(self, frame: Frame) -> Frame:
        """Return the frame rotated, then mirrored.

        "auto" leaves the frame unchanged, because the decoder has already applied the stored orientation.

        Args:
            frame: Frame with an (H, W, 3) uint8 BGR image.

        Returns:
            The same frame if there is nothing to do; otherwise a copy with a new image, of shape (W, H, 3) after a
            rotation by 90 or 270 degrees. Index, timestamps and picture are unchanged.
        """
        if self.rotate in ("auto", "0") and not self.flip:
            return frame
        full_wh = frame.full_size_wh
        if full_wh is not None and self.rotate in ("90", "270"):
            full_wh = (full_wh[1], full_wh[0])
        return replace(frame, image=_oriented(frame.image, self.rotate, flip=self.flip), full_size_wh=full_wh)


def _oriented(image: Image, rotate: Turn, *, flip: bool) -> Image:
    import cv2  # noqa: PLC0415 - keeps `--help` fast
    import numpy as np  # noqa: PLC0415

    rotations = {
        "90": cv2.ROTATE_90_CLOCKWISE,
        "180": cv2.ROTATE_180,
        "270": cv2.ROTATE_90_COUNTERCLOCKWISE,
    }
    rotated = cv2.rotate(image, rotations[rotate]) if rotate in rotations else image
    return np.asarray(cv2.flip(rotated, 1) if flip else rotated, dtype=np.uint8)
