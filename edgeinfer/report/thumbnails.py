"""Small pictures of faces, cropped from the sources at the most confident moment of each track."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np

from edgeinfer.errors import EdgeInferError, shown_path
from edgeinfer.report.details import Images
from edgeinfer.report.html import data_uri
from edgeinfer.report.recording import Moment, Recording
from edgeinfer.report.timeline import longest_tracks
from edgeinfer.results import Frame, Image
from edgeinfer.sources.factory import open_source
from edgeinfer.system import interrupts

Key = TypeVar("Key", int, str)

SIDE_PX = 88
QUALITY = 78
MARGIN = 0.15
"""Margin around the box, as a share of its longer side."""
TOTAL = 360
"""Number of pictures of a report, about 4 kB each."""
LARGEST_PER_RECORDING = 24
TOLERANCE_S = 0.02
"""Difference between the times of a frame in the result and in the source above which the source is another one."""
SHOWN_MISSING = 5
MAX_PARTS = 20
"""Number of components of a path that are looked for in a folder."""


class Crops(NamedTuple):
    """Pictures of a report.

    Attributes:
        images: Pictures by the position of their recording.
        notes: Sentences about sources that could not be read.
    """

    images: dict[int, Images]
    notes: tuple[str, ...]


def crop_faces(recordings: Sequence[Recording], folder: Path | None) -> Crops:
    """Crop the faces of recordings from their sources.

    A source that is missing, cannot be read, or has other frames than the result is left out.

    Args:
        recordings: Recordings with details.
        folder: Folder of the sources; None to use the paths in the results.
    """
    images: dict[int, Images] = {}
    missing: list[str] = []
    limit = min(LARGEST_PER_RECORDING, max(1, TOTAL // max(1, len(recordings))))
    for number, recording in enumerate(recordings):
        found = _crop_pictures(recording, folder, limit) if recording.has_pictures else None
        if not recording.has_pictures and recording.tracks:
            found = _crop_video(recording, folder, limit)
        if found is None:
            missing += [recording.name] if recording.faces else []
        else:
            images[number] = found
    if not missing:
        return Crops(images, ())
    listed = ", ".join(shown_path(name) for name in missing[:SHOWN_MISSING])
    more = f" and {len(missing) - SHOWN_MISSING} more" if len(missing) > SHOWN_MISSING else ""
    return Crops(images, (f"No pictures of faces from {listed}{more}: the source was not found, or has other frames.",))


def _crop_video(recording: Recording, folder: Path | None, limit: int) -> Images | None:
    """Return the pictures of the longest tracks, or None without any."""
    wanted: dict[int, list[tuple[int, Moment]]] = {}
    for track in longest_tracks(recording.tracks, limit):
        if track.best is not None:
            wanted.setdefault(track.best.number, []).append((track.number, track.best))
    path = _find([recording.info.source, recording.name], folder)
    if path is None or not wanted:
        return None
    crops: dict[int, str] = {}
    last = max(wanted)
    try:
        with open_source(path, mode="file") as source:
            for frame in source:
                interrupts.check()
                for number, moment in wanted.get(frame.index, ()):
                    _add(crops, number, frame, moment)
                if frame.index >= last:
                    break
    except EdgeInferError:
        return None
    return Images(tracks=crops) if crops else None


def _crop_pictures(recording: Recording, folder: Path | None, limit: int) -> Images | None:
    """Return the most confident picture of each expression, or None without any."""
    crops: dict[str, str] = {}
    best = {label: share.best for label, share in recording.shares.items() if share.best is not None}
    for label, moment in sorted(best.items(), key=lambda item: -item[1].confidence)[:limit]:
        path = _find([moment.picture], folder)
        try:
            if path is not None:
                with open_source(path, mode="file") as source:
                    _add(crops, label, next(iter(source)), moment._replace(time_s=0.0))
        except (EdgeInferError, StopIteration):
            continue
    return Images(labels=crops) if crops else None


def _find(names: Sequence[str | None], folder: Path | None) -> Path | None:
    """Return the path of the first name that is a file; an address, a device or a pattern is none.

    In a folder, the longest end of the name that exists counts: "b/c.mp4" or "c.mp4" for "a/b/c.mp4".
    """
    for name in filter(None, names):
        parts = Path(name).parts[-MAX_PARTS:]
        ends = [] if folder is None else [Path(folder, *parts[number:]) for number in range(len(parts))]
        for path in (*ends, Path(name)):
            try:
                if path.is_file():
                    return path.absolute()
            except (OSError, ValueError):
                continue
    return None


def _add(crops: dict[Key, str], key: Key, frame: Frame, moment: Moment) -> None:
    """Add the picture of a face, unless the frame is not that of the result."""
    if abs(frame.timestamp_s - moment.time_s) > TOLERANCE_S:
        return
    face = crop(frame, moment.xywh)
    if face is not None:
        encoded, data = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        if encoded:
            crops[key] = data_uri("image/jpeg", data.tobytes())


def crop(frame: Frame, xywh: tuple[int, int, int, int]) -> Image | None:
    """Return a square picture of a face, or None if the box is not within the frame.

    Args:
        frame: Upright frame; a reduced picture states its full size.
        xywh: Box in pixels of the source.

    Returns:
        (SIDE_PX, SIDE_PX, 3) BGR uint8 array.
    """
    height, width = frame.image.shape[:2]
    scale = 1.0 if frame.full_size_wh is None else width / frame.full_size_wh[0]
    x, y, w, h = (value * scale for value in xywh)
    if w < 1 or h < 1 or x + w <= 0 or y + h <= 0 or x >= width or y >= height:
        return None
    side = min((1 + 2 * MARGIN) * max(w, h), width, height)
    left = round(min(max(0.0, x + (w - side) / 2), width - side))
    top = round(min(max(0.0, y + (h - side) / 2), height - side))
    part = frame.image[top : top + max(1, round(side)), left : left + max(1, round(side))]
    return np.asarray(cv2.resize(part, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA), np.uint8)
