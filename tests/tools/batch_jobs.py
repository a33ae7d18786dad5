"""Settings, jobs and short inputs for tests of the workers of a batch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2

from edgeinfer import open_source
from edgeinfer.batch.jobs import Job, Kind, WorkSettings
from edgeinfer.options.groups import ContentOptions, DecodingOptions, DetectionOptions, ModelOptions, ResultFormat
from edgeinfer.results import Image
from edgeinfer.system.files import partial_path


def work_settings(model: Path | None = None, *, max_frames: int | None = None, **options: Any) -> WorkSettings:
    """Return settings; the options are those of the detection or the content."""
    content = {name: options.pop(name) for name in ("empty_frames", "blur_faces") if name in options}
    return WorkSettings(
        ModelOptions(model=None if model is None else str(model)),
        DetectionOptions(**options),
        DecodingOptions(),
        ContentOptions(**content),
        max_frames,
    )


def job(
    folder: Path,
    files: Path | Sequence[Path],
    *,
    number: int = 1,
    kind: Kind = "video",
    formats: Sequence[ResultFormat] = ("csv",),
    **changes: Any,
) -> Job:
    """Return the job of a source with results named after its number; `changes` are other fields."""
    paths = tuple(map(str, [files] if isinstance(files, Path) else files))
    token = changes.get("token", "")
    results: dict[ResultFormat, str] = {
        suffix: str(partial_path(folder / f"{number}.{suffix}", token)) for suffix in formats
    }
    name = changes.pop("name", paths[0] if paths else "")
    source, first_index = changes.pop("source", str(number)), changes.pop("first_index", 0)
    return Job(number, source, kind, name, paths, first_index, results, **changes)


def write_clip(path: Path, source: Path, frames: int, *, first: int = 0) -> Path:
    """Write some frames of a video to another one."""
    with open_source(source) as opened:
        images = [frame.image.copy() for frame in opened][first : first + frames]
    height, width = images[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (width, height))
    for image in images:
        writer.write(image)
    writer.release()
    return path


def write_pictures(folder: Path, portrait: Image, number: int, *, side: int = 96) -> list[Path]:
    """Write pictures of a face, each a little darker than the one before it."""
    folder.mkdir(parents=True, exist_ok=True)
    small = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA)
    paths = [folder / f"{index}.png" for index in range(number)]
    for index, path in enumerate(paths):
        cv2.imwrite(os.fspath(path), cv2.convertScaleAbs(small, alpha=1 - index / (2 * number)))
    return paths
