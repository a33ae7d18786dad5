"""Annotated JPEG pictures of events, with a retention limit."""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Self
from urllib.parse import quote

import cv2
import numpy as np

from edgeinfer.errors import OutputError, UsageError, one_line, path_text, shown_path
from edgeinfer.outputs.background import BackgroundQueue
from edgeinfer.outputs.base import check_writable
from edgeinfer.outputs.draw import FaceBlur, annotate, cover
from edgeinfer.outputs.events import Event
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import Box, Frame, Image, Result
from edgeinfer.system.files import write_file
from edgeinfer.system.interrupts import closing_limit_s

QUEUE_CAPACITY = 8
"""Maximum number of queued snapshots; each keeps a full frame in memory."""
CLOSE_TIMEOUT_S = 10.0
"""Time for writing the remaining snapshots when the sink is closed, in seconds."""
FILE_NAME = re.compile(r"\d{8}T\d{9}Z-\d+-(appeared|changed)-[\w.~%-]+\.jpg")
"""Pattern of a snapshot's file name: UTC time, track id, event kind and label. Other files are never removed."""
PART_CHARACTERS = 60
"""Maximum length of a label and of a picture's name in a file name."""
COMMENT_BYTES = 65_533
"""Maximum length of a JPEG comment in bytes."""
JPEG_MAX_SIDE = 65_500
"""Largest width and height that libjpeg writes, in pixels; larger pictures are scaled down."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """A snapshot to be written.

    Attributes:
        path: path of the file.
        frame: the frame.
        result: its result.
        covered: boxes to make unrecognizable.
    """

    path: Path
    frame: Frame
    result: Result
    covered: tuple[Box, ...]


class SnapshotSink(AbstractContextManager["SnapshotSink"]):
    """Sink that writes an annotated JPEG whenever a face appears or changes its expression.

    A file name contains the time (UTC), the track id, the kind of event and the label:
    "20261123T101530123Z-3-changed-happy.jpg". For pictures, the name of the picture follows; the JPEG comment contains
    its path. Characters that are unsafe in a file name are percent-encoded, and long parts are truncated.

    A background thread encodes and writes the snapshots; if the disk is too slow, the oldest queued ones are dropped.

    Attributes:
        dropped: number of snapshots that were dropped because the queue was full.
        written: latest snapshot and number of saved ones, for the summary of a run.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        keep: int = 1000,
        age_s: float | None = None,
        blur: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Initialize the sink without creating the folder.

        Args:
            folder: folder for the snapshots, created when the sink is entered; other files in it are left untouched.
            keep: number of newest snapshots to keep, 1 or more; those of earlier runs count.
            age_s: age in seconds at which a snapshot is removed, None for no limit; checked after each new snapshot.
            blur: make faces unrecognizable.
            clock: wall-clock time in seconds since 1970.

        Raises:
            UsageError: `keep` is less than 1.
        """
        if keep < 1:
            raise UsageError(f"invalid number of snapshots to keep: {keep}, expected 1 or more")
        self._folder, self._keep, self._age_s, self._clock = Path(folder), keep, age_s, clock
        self._blur = FaceBlur() if blur else None
        self._recent: deque[Path] = deque(maxlen=100)
        self.dropped = self._saved = 0
        self._latest: Path | None = None
        self._queue: BackgroundQueue[_Snapshot] = BackgroundQueue(
            self._save, name="snapshots", capacity=QUEUE_CAPACITY, on_drop=self._count_dropped
        )

    def __enter__(self) -> Self:
        """Create the folder if it is missing and start the thread that writes snapshots.

        Raises:
            OutputError: The folder cannot be created or is not writable.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot create the folder {shown_path(self._folder)}: {error.strerror}") from error
        check_writable(self._folder / "snapshot.jpg")
        self._queue.start()
        return self

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Ignore the header; snapshots do not use it."""

    def handle_events(self, events: Sequence[Event], frame: Frame | None, result: Result | None) -> None:
        """Queue a snapshot for each face that appeared or changed its expression."""
        if frame is None or result is None:
            return
        covered = self._blur.regions(frame, result) if self._blur else ()
        for event in events:
            if event.kind != "left":
                self._queue.put(_Snapshot(self._path(event, frame), frame, result, covered))

    def write(self, frame: Frame, result: Result) -> None:
        """Update the areas to blur.

        Raises:
            OutputError: An earlier snapshot could not be written.
        """
        self._raise_write_error()
        if self._blur:
            self._blur.regions(frame, result)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write the remaining snapshots, waiting at most `CLOSE_TIMEOUT_S`, or less after an interruption.

        Raises:
            OutputError: A snapshot could not be written, and the run ends without another error.
        """
        self.dropped += self._queue.close(closing_limit_s(CLOSE_TIMEOUT_S))
        if self.dropped:
            _log.warning("%d snapshots were not saved, because writing took too long", self.dropped)
        if kind is None:
            self._raise_write_error()

    @property
    def written(self) -> tuple[str, ...]:
        """Latest snapshot and the number of saved ones; empty if there is none."""
        if self._latest is None:
            return ()
        number = "1 snapshot" if self._saved == 1 else f"the latest of {self._saved} snapshots"
        return (f"{shown_path(self._latest)} ({number})",)

    def _path(self, event: Event, frame: Frame) -> Path:
        """Return a path that no other snapshot has."""
        now_ms = int(self._clock() * 1000)
        paths = (self._folder / _file_name(at_ms, event, frame.picture) for at_ms in count(now_ms))
        path = next(path for path in paths if path not in self._recent and not path.exists())
        self._recent.append(path)
        return path

    def _save(self, snapshot: _Snapshot) -> None:
        image = snapshot.frame.image
        image = cover(image, snapshot.covered) if snapshot.covered else image
        picture = snapshot.frame.picture
        annotated = annotate(image, snapshot.result, track_ids=picture is None)
        write_file(snapshot.path, _encode_jpeg(annotated, picture))
        self._saved += 1
        self._latest = snapshot.path
        self._remove_expired()

    def _remove_expired(self) -> None:
        """Remove snapshots beyond the maximum number or age."""
        paths = sorted(path for path in self._folder.iterdir() if FILE_NAME.fullmatch(path.name))
        # The age comes from the name, not the modification time, so that copied folders keep their ages.
        oldest_s = self._clock() - self._age_s if self._age_s is not None else 0.0
        oldest = f"{datetime.fromtimestamp(max(0.0, oldest_s), UTC):%Y%m%dT%H%M%S}"
        for newer, path in enumerate(reversed(paths)):
            if newer >= self._keep or path.name < oldest:
                path.unlink(missing_ok=True)

    def _raise_write_error(self) -> None:
        error, self._queue.error = self._queue.error, None
        if error is not None:
            reason = getattr(error, "strerror", None) or one_line(str(error))
            raise OutputError(f"cannot write a snapshot to {shown_path(self._folder)}: {reason}") from error

    def _count_dropped(self) -> None:
        self.dropped += 1


def _file_name(at_ms: int, event: Event, picture: str | None) -> str:
    at = datetime.fromtimestamp(at_ms // 1000, UTC)
    stamp = f"{at:%Y%m%dT%H%M%S}{at_ms % 1000:03d}Z"
    parts = [event.label] if picture is None else [event.label, Path(picture).name]
    return "-".join([stamp, str(event.track_id), event.kind, *map(safe_name, parts)]) + ".jpg"


def safe_name(text: str) -> str:
    """Return text as a part of a file name: percent-encoded and truncated.

    >>> safe_name("happy"), safe_name("n/a, or sad")
    ('happy', 'n%2Fa%2C%20or%20sad')
    """
    encoded = quote(text, safe="", errors="replace")
    return re.sub(r"%[0-9A-F]?$", "", encoded[:PART_CHARACTERS]) or "_"


def _encode_jpeg(picture: Image, comment: str | None) -> bytes:
    """Encode a picture, with a comment segment (ITU-T T.81, B.2.4.5) unless `comment` is None."""
    height, width = picture.shape[:2]
    scale = JPEG_MAX_SIDE / max(height, width)
    if scale < 1:
        size_wh = (max(1, int(width * scale)), max(1, int(height * scale)))
        picture = np.asarray(cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
    encoded, data = cv2.imencode(".jpg", picture)
    if not encoded:
        raise ValueError(f"OpenCV cannot encode a picture of {width}x{height} pixels as JPEG")
    jpeg = data.tobytes()
    if comment is None:
        return jpeg
    text = path_text(comment).encode()[:COMMENT_BYTES]
    return jpeg[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + jpeg[2:]
