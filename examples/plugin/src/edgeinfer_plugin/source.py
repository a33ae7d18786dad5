"""Source that reads frames from a NumPy array, for recordings of other programs."""

from collections.abc import Iterator
from types import TracebackType
from typing import Self

import numpy as np

import edgeinfer

DEFAULT_FPS = 30.0


class ArraySource:
    """Frames of a `.npy` file of shape (N, H, W, 3), uint8, in BGR order; `npy:frames.npy` opens it.

    Attributes:
        name: Display name.
        live: False; no frame is dropped.
        continuous: True; the frames follow each other in time.
        fps: Frames per second, from the option `fps`.
        frame_count: Number of frames.
        dropped: 0.
        skipped: 0.
    """

    live, continuous = False, True
    dropped = skipped = 0

    def __init__(self, address: str, capture: edgeinfer.Capture) -> None:
        """Open the file.

        Args:
            address: "npy:" and the path of the file.
            capture: Frame rate, rotation and mirroring as requested by the user.

        Raises:
            SourceNotFoundError: There is no such file.
            SourceError: The file is not an array of frames.
        """
        path = address.partition(":")[2]
        self.name, self._capture = path, capture
        try:
            # The frames stay on disk until they are needed.
            self._frames = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError as error:
            raise edgeinfer.SourceNotFoundError(f"{path} does not exist; check the path") from error
        except (OSError, EOFError, ValueError) as error:
            raise edgeinfer.SourceError(f"{path} is not a .npy file: {error}") from error
        if self._frames.ndim != 4 or self._frames.shape[3] != 3 or self._frames.dtype != np.uint8:
            found = f"{self._frames.shape} {self._frames.dtype}"
            raise edgeinfer.SourceError(f"{path} has the shape {found}: expected (N, H, W, 3) uint8")
        self.fps: float | None = capture.fps or DEFAULT_FPS
        self.frame_count: int | None = len(self._frames)

    def __iter__(self) -> Iterator[edgeinfer.Frame]:
        """Yield the frames."""
        for index, image in enumerate(self._frames):
            frame = edgeinfer.Frame(np.ascontiguousarray(image), index, index / (self.fps or DEFAULT_FPS))
            yield self._capture.turned(frame)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Release the file."""
        del self._frames
