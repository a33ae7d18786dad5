"""Still pictures as a source."""

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
    """One picture, or several that do not follow each other."""

    live = False
    continuous = False
    dropped = 0
    fps: float | None = None

    def __init__(self, paths: Sequence[Path], *, name: str, wanted: Capture | None = None) -> None:
        """Take the pictures in this order."""
        self._paths, self._wanted = tuple(paths), wanted or Capture()
        self.name, self.skipped = name, 0
        self.frame_count: int | None = len(self._paths)

    def __iter__(self) -> Iterator[Frame]:
        """Give each readable picture; warn of the others.

        Raises:
            SourceError: not a single picture could be read.
        """
        given = 0
        for path in self._paths:
            image = _read_picture(path, turn=self._wanted.rotate == "auto")
            if image is None:
                if len(self._paths) > 1:
                    warnings.warn(f"{path} is not a readable picture and was left out", stacklevel=2)
                    self.skipped += 1
                continue
            yield self._wanted.turned(Frame(image, given, float(given)))
            given += 1
        if not given:
            raise SourceError(f"{self.name} is not a readable picture; it may be empty or damaged")

    def __exit__(self, *_: object) -> None:
        """Nothing is held open between pictures."""


def _read_picture(path: Path, *, turn: bool) -> Image | None:
    """A picture, turned as it says of itself or left as it is stored; None where it is none."""
    try:
        return decode_image(path.read_bytes(), turn=turn)
    except OSError:
        return None
