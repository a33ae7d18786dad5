"""Paths of annotated copies in the layout of the sources."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from edgeinfer.results import Frame


class CopyLayout(NamedTuple):
    """Layout of the copies of one source's pictures.

    Attributes:
        folder: Folder of the copies.
        base: Folder that the pictures are relative to, or None to use their names alone.

    Examples:
        >>> CopyLayout("out", "photos").path("photos/2024/a.jpg").as_posix()
        'out/2024/a.jpg'
        >>> CopyLayout("out", None).path("photos/2024/a.jpg").as_posix()
        'out/a.jpg'
    """

    folder: str
    base: str | None

    def path(self, picture: str) -> Path:
        """Return the path of the copy of a picture, always inside `folder`.

        Args:
            picture: Path of the picture as given: the base joined with the path below it.
        """
        name = os.path.basename(picture)  # noqa: PTH119 - any string
        relative = name if self.base is None else os.path.relpath(picture, self.base)
        return Path(self.folder, name if relative.startswith(os.pardir + os.sep) else relative)

    def target(self, frame: Frame) -> Path:
        """Return the path of the copy of a frame with a picture."""
        return self.path(frame.picture or "")


def glob_base(pattern: str) -> str:
    """Return the longest part of a glob without a wildcard: a folder, "" for the current one.

    Examples:
        >>> glob_base("photos/2024/*/a?.jpg"), glob_base("/photos/**"), glob_base("*.jpg")
        ('photos/2024', '/photos', '')
    """
    base = pattern
    while glob.has_magic(base):
        base = os.path.dirname(base)  # noqa: PTH120 - any string
    return base
