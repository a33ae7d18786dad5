"""Paths of the annotated copies of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from edgeinfer.batch.jobs import BatchSource

COPIES = "annotated"
"""Name of the folder of the annotated copies, below that of the results."""


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
            return [folder / COPIES / f"{source.result}.mp4"] if videos else []
        parent = PurePosixPath(source.path).parent
        return [folder / COPIES / parent / PurePosixPath(file).name for file in source.files] if pictures else []

    return paths
