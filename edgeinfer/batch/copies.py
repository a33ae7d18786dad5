"""Paths of the annotated copies of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import overload

from edgeinfer.batch.jobs import BatchSource
from edgeinfer.batch.naming import COPIES, COPY_SUFFIX


def annotated_paths(folder: Path, *, videos: bool, pictures: bool) -> Callable[[BatchSource], Sequence[Path]] | None:
    """Return a function from a source to the paths of its annotated copies, in the order of its files.

    Copies of pictures are in the layout of the sources, those of videos in that of the results.

    Args:
        folder: Folder of the batch.
        videos: True to copy videos.
        pictures: True to copy pictures.

    Returns:
        The function, or None if neither is copied.
    """
    if not (videos or pictures):
        return None

    def paths(source: BatchSource) -> Sequence[Path]:
        if source.kind == "video":
            return [folder / COPIES / f"{source.result}{COPY_SUFFIX}"] if videos else []
        return _PictureCopies(folder / COPIES / PurePosixPath(source.path).parent, source.files) if pictures else []

    return paths


class _PictureCopies(Sequence[Path]):
    """Paths of the copies of pictures, built when they are needed, because one chunk needs few of them."""

    def __init__(self, folder: Path, files: Sequence[str]) -> None:
        self._folder, self._files = folder, files

    def __len__(self) -> int:
        return len(self._files)

    @overload
    def __getitem__(self, index: int) -> Path: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Path]: ...

    def __getitem__(self, index: int | slice) -> Path | Sequence[Path]:
        if isinstance(index, slice):
            return _PictureCopies(self._folder, self._files[index])
        return self._folder / PurePosixPath(self._files[index]).name
