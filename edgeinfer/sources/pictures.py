"""Source of still pictures."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from edgeinfer.errors import SourceError, path_text, shown_path
from edgeinfer.results import Frame, Image
from edgeinfer.sources.base import Capture
from edgeinfer.sources.images import DecodedPicture, decode_image, decode_picture
from edgeinfer.sources.order import listed
from edgeinfer.sources.picture_size import (
    HEADER_BYTES,
    MAX_FILE_BYTES,
    Format,
    has_picture_suffix,
    picture_format,
)
from edgeinfer.sources.video_suffix import batch_command, has_video_suffix
from edgeinfer.system.portable import NONBLOCK


class PictureSource(AbstractContextManager["PictureSource"]):
    """One picture, or several unrelated ones.

    Attributes:
        skipped: Number of files that were not read: other files of the folder or glob, and unreadable pictures.
    """

    live = False
    continuous = False
    dropped = 0
    fps: float | None = None

    def __init__(
        self,
        paths: Sequence[str],
        *,
        name: str,
        capture: Capture | None = None,
        others: Sequence[str] = (),
        first_index: int | None = None,
    ) -> None:
        """Create a source of pictures and issue a warning about the files that are not read.

        Args:
            paths: Picture files, in the order in which they are yielded.
            name: Display name.
            capture: Orientation and size limit of the pictures.
            others: Files of the same folder or glob that are not pictures.
            first_index: Index of the first picture if these are only a part of a source, of which none needs to be
                readable; None for a whole source.
        """
        self._paths, self._capture = tuple(paths), capture or Capture()
        self.name, self.skipped = path_text(name), len(others)
        self.frame_count: int | None = len(self._paths)
        self._first_index, self._is_part = first_index or 0, first_index is not None
        self._unreadable: list[str] = []
        if others:
            total = len(others) + len(self._paths)
            names = listed([os.path.basename(path) for path in others], ", ")  # noqa: PTH119 - paths as given
            advice = f"; for the videos use: {batch_command(name)}" if any(map(has_video_suffix, others)) else ""
            warnings.warn(
                f"{shown_path(name)}: skipped {len(others)} of {total} files, without a picture suffix: {names}"
                f"{advice}",
                stacklevel=2,
            )

    def __iter__(self) -> Iterator[Frame]:
        """Yield each readable picture; its index is its position, so that unreadable ones leave gaps.

        A warning at the end names the unreadable ones.

        Raises:
            SourceError: No picture of a whole source could be read.
        """
        for index, path in enumerate(self._paths, self._first_index):
            try:
                picture = self._read(path)
            except SourceError as error:
                self._unreadable.append(f"{shown_path(path)} {error}")
                self.skipped += 1
                continue
            full_wh = picture.full_size_wh if picture.is_reduced else None
            frame = Frame(picture.image, index, float(index), picture=path, full_size_wh=full_wh)
            yield self._capture.turned(frame)
        self._report_unreadable()

    def _report_unreadable(self) -> None:
        """Issue a warning that names the unreadable pictures, once; raise `SourceError` if there are no others."""
        unreadable, self._unreadable = self._unreadable, []
        if not unreadable:
            return
        total, sentence = len(self._paths), listed(unreadable, "; ")
        if len(unreadable) == total and not self._is_part:
            raise SourceError(sentence if total == 1 else f"none of the {total} pictures can be read: {sentence}")
        warnings.warn(
            f"{shown_path(self.name)}: skipped {len(unreadable)} of {total} pictures: {sentence}", stacklevel=3
        )

    def _read(self, path: str) -> DecodedPicture:
        upright = self._capture.rotate == "auto"
        return decode_picture(_read_file(path), apply_orientation=upright, max_megapixels=self._capture.max_megapixels)

    def __exit__(self, *_: object) -> None:
        """Issue the warning about unreadable pictures if the iteration ended early."""
        if len(self._unreadable) < len(self._paths):
            self._report_unreadable()


def read_full_size(path: str, capture: Capture) -> Image:
    """Return a picture at its full size, in the orientation of its frame.

    Args:
        path: Picture file.
        capture: Capture settings of the source; its `max_megapixels` limits the size.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        SourceError: The file cannot be read or decoded.
    """
    upright = capture.rotate == "auto"
    image = decode_image(_read_file(path), apply_orientation=upright, max_megapixels=capture.max_megapixels)
    if image is None:
        raise SourceError("is not a readable picture")
    return capture.turned(Frame(image, 0, 0.0)).image


def with_picture_suffix(name: Path, picture: str) -> Path:
    """Return a path that ends in a picture suffix: that of the format of a file is appended if it has none.

    Args:
        name: Path to complete.
        picture: Picture file.
    """
    if has_picture_suffix(name):
        return name
    kind = None
    with suppress(OSError), open(picture, "rb") as file:  # noqa: PTH123 - a path as given
        kind = picture_format(file.read(HEADER_BYTES))
    return name.with_name(f"{name.name}.{_SUFFIXES.get(kind, kind)}" if kind else name.name)


_SUFFIXES: dict[Format | None, str] = {"jpeg": "jpg", "pnm": "ppm", "tiff": "tif"}
"""Suffixes that differ from the name of the format."""


def _read_file(path: str) -> bytes:
    """Return the content of a picture file.

    Raises:
        SourceError: The file cannot be read, or exceeds `MAX_FILE_BYTES`.
    """
    try:
        # Without this flag, opening a FIFO would wait for a writer.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise SourceError("is not a regular file")
            if status.st_size > MAX_FILE_BYTES:
                megabytes = status.st_size / 1e6
                raise SourceError(f"is {megabytes:.0f} MB, above the limit of {MAX_FILE_BYTES / 1e6:g} MB")
            data = file.read(MAX_FILE_BYTES)
    except (OSError, ValueError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not data:
        raise SourceError("is empty")
    return data
