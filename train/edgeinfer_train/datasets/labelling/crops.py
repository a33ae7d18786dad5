"""Face crops of pictures and clips, in class folders by the answer of a model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edgeinfer.batch.kinds import kind_by_suffix
from edgeinfer.errors import SourceError, path_text, shown_path
from edgeinfer.expression.preprocess import crop_face
from edgeinfer.pipeline import Pipeline
from edgeinfer.results import Image
from edgeinfer.sources.factory import open_source
from edgeinfer.sources.order import natural_key
from edgeinfer.system.files import write_file
from edgeinfer_train.datasets.prepare.corrections import UNLABELLED
from edgeinfer_train.errors import DataError, RunError

MAX_SIDE = 256
"""Longest side of a written crop in pixels; the inputs of the networks are smaller."""
MAX_SOURCE_CHARACTERS = 60
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """Selection of faces.

    Attributes:
        every_s: Minimum time between two crops of one track in a clip, in seconds.
        min_size: Minimum width and height of a face in pixels.
        limit: Maximum number of crops.
        labels: Own labels, for which the crops start unlabelled; empty to use the model's answers.
    """

    every_s: float = 1.0
    min_size: int = 24
    limit: int = 2000
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Crop:
    """One written crop.

    Attributes:
        file: Path relative to the output folder.
        label: Answer of the model, or "" for own labels.
        confidence: Confidence of the model's answer, 0..1.
        image: Pixels, (H, W) or (H, W, 3) BGR uint8.
    """

    file: str
    label: str
    confidence: float
    image: Image


@dataclass(frozen=True, slots=True)
class _Face:
    image: Image
    track: int
    frame: int


def find_sources(source: Path) -> list[Path]:
    """Return the pictures and clips in a folder and the folders below it, in natural order; or the file itself.

    Raises:
        DataError: The source does not exist, or contains neither pictures nor clips.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise DataError(f"{shown_path(source)} does not exist: expected a folder of pictures or clips, or a clip")
    found = [p for p in source.rglob("*") if kind_by_suffix(p.name) and p.is_file() and not p.name.startswith(".")]
    if not found:
        raise DataError(f"{shown_path(source)} contains neither pictures nor clips")
    return sorted(found, key=lambda path: natural_key(path.relative_to(source).as_posix()))


def write_crops(
    source: Path,
    out: Path,
    create_pipeline: Callable[[bool], Pipeline],
    settings: LabelSettings,
    *,
    warn: Callable[[str], None],
    progress: Progress | None = None,
) -> Iterator[Crop]:
    """Detect the faces of pictures and clips, and write a crop of each into the class folder of the model's answer.

    The file name is `SOURCE_tTRACK_fFRAME_cCONFIDENCE.png`, with the confidence in percent. A track is one visit of one
    face in a clip, so that a split by person can keep its crops together.

    Args:
        source: Folder with pictures and clips, or one file.
        out: Existing folder for the class folders.
        create_pipeline: Function that creates a pipeline, with its argument True to track faces between frames.
        settings: Selection of faces.
        warn: Callback with a sentence about a source that cannot be read.
        progress: Callback with the arguments (sources done, total sources).

    Yields:
        The crops, after each is written; at most `settings.limit`.

    Raises:
        DataError: The source does not exist, or contains neither pictures nor clips.
        RunError: A crop cannot be written.
    """
    sources = find_sources(source)
    root = source if source.is_dir() else source.parent
    names = source_names([path.relative_to(root).as_posix() for path in sources])
    pipelines: dict[bool, Pipeline] = {}
    count = 0
    for done, (path, name) in enumerate(zip(sources, names, strict=True), start=1):
        is_clip = kind_by_suffix(path.name) != "pictures"
        pipeline = pipelines.setdefault(is_clip, create_pipeline(is_clip)) if is_clip not in pipelines else (
            pipelines[is_clip]
        )  # fmt: skip
        try:
            for face in _faces(path, pipeline, settings):
                yield _write(face, name, out, pipeline, settings)
                count += 1
                if count >= settings.limit:
                    return
        except SourceError as error:
            warn(f"{shown_path(path)} is left out: {error}")
        if progress:
            progress(done, len(sources))


def source_names(paths: Sequence[str]) -> list[str]:
    """Return a short name for each path that is safe in file names, without duplicates.

    >>> source_names(["hall/cam 1.mp4", "hall/cam-1.mp4"])
    ['hall-cam-1-mp4', 'hall-cam-1-mp4-2']
    """
    counts: dict[str, int] = {}
    names = []
    for path in paths:
        name = re.sub(r"[^\w-]+", "-", path_text(path))[-MAX_SOURCE_CHARACTERS:].strip("-") or "source"
        counts[name] = counts.get(name, 0) + 1
        names.append(name if counts[name] == 1 else f"{name}-{counts[name]}")
    return names


def _faces(path: Path, pipeline: Pipeline, settings: LabelSettings) -> Iterator[_Face]:
    """Yield the faces of one source that are large enough, at most one per track and `every_s`."""
    pipeline.reset()
    latest: dict[int, float] = {}
    with open_source(path) as opened:
        for frame in opened:
            time_s = frame.timestamp_s
            for face in pipeline(frame.image, timestamp_s=time_s).faces:
                x, y, w, h = face.box.xywh
                last_s = latest.get(face.track_id)
                if min(w, h) < settings.min_size or (last_s is not None and time_s - last_s < settings.every_s):
                    continue
                latest[face.track_id] = time_s
                crop = crop_face(frame.image, (x, y, w, h), pipeline.classifier.margin)
                yield _Face(_reduced(crop), face.track_id, frame.index)


def _reduced(crop: Image) -> Image:
    scale = MAX_SIDE / max(crop.shape[:2])
    if scale >= 1:
        return np.ascontiguousarray(crop)
    size_wh = max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale))
    return np.asarray(cv2.resize(crop, size_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _write(face: _Face, source: str, out: Path, pipeline: Pipeline, settings: LabelSettings) -> Crop:
    emotion = pipeline.classifier.classify([face.image])[0]
    folder = UNLABELLED if settings.labels else emotion.label
    name = f"{source}_t{face.track:04d}_f{face.frame:06d}_c{100 * emotion.confidence:03.0f}.png"
    target = out / folder / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_file(target, cv2.imencode(".png", face.image)[1].tobytes())
    except OSError as error:
        raise RunError(f"cannot write {shown_path(target)}: {error.strerror or error}") from error
    return Crop(f"{folder}/{name}", "" if settings.labels else emotion.label, emotion.confidence, face.image)
