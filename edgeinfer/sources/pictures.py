"""Source of still pictures."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from edgeinfer.errors import SourceError
from edgeinfer.results import Frame, Image
from edgeinfer.sources.base import Capture
from edgeinfer.sources.images import decode_image

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm"})


class PictureSource(AbstractContextManager["PictureSource"]):
    """One picture, or several unrelated ones."""

    live = False
    continuous = False
    dropped = 0
    fps: float | None = None

    def __init__(self, paths: Sequence[Path], *, name: str, capture: Capture | None = None) -> None:
        """Create a source of pictures.

        Args:
            paths: Picture files, in the order in which they are yielded.
            name: Display name.
            capture: Orientation of the pictures.
        """
        self._paths, self._capture = tuple(paths), capture or Capture()
        self.name, self.skipped = name, 0
        self.frame_count: int | None = len(self._paths)

    def __iter__(self) -> Iterator[Frame]:
        """Yield each readable picture and issue a warning for each unreadable one.

        Raises:
            SourceError: No picture could be read.
        """
        yielded = 0
        for path in self._paths:
            image = _read_picture(path, apply_orientation=self._capture.rotate == "auto")
            if image is None:
                if len(self._paths) > 1:
                    warnings.warn(f"{path} is not a readable picture and was skipped", stacklevel=2)
                    self.skipped += 1
                continue
            yield self._capture.turned(Frame(image, yielded, float(yielded)))
            yielded += 1
        if not yielded:
            raise SourceError(f"{self.name} is not a readable picture; it may be empty or damaged")

    def __exit__(self, *_: object) -> None:
        """Do nothing; no file stays open between pictures."""


def _read_picture(path: Path, *, apply_orientation: bool) -> Image | None:
    """Return the decoded picture, or None if it cannot be read."""
    try:
        return decode_image(path.read_bytes(), apply_orientation=apply_orientation)
    except OSError:
        return None
