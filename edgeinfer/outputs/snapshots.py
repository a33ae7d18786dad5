"""Annotated JPEG pictures of events, with a retention limit."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import cv2

from edgeinfer.errors import OutputError, UsageError
from edgeinfer.outputs.background import BackgroundQueue
from edgeinfer.outputs.base import check_writable
from edgeinfer.outputs.draw import FaceBlur, annotate, cover
from edgeinfer.outputs.events import Event
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import Box, Frame, Result

QUEUE_CAPACITY = 8
"""Maximum number of queued snapshots; each holds a full frame in memory."""
CLOSE_TIMEOUT_S = 10.0
"""Time for writing the remaining snapshots when the sink is closed, in seconds."""
FILE_NAME = re.compile(r"\d{8}T\d{9}Z-\d+-(appeared|changed)-\w+\.jpg")
"""Pattern of a snapshot's file name: UTC time, track id, event kind and label. Other files are never removed."""


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

    A file name holds the time (UTC), the track id, the kind of event and the label:
    "20261123T101530123Z-3-changed-happy.jpg". A background thread encodes and writes the pictures; if the disk is too
    slow, the oldest queued snapshots are dropped.

    Attributes:
        dropped: number of snapshots that were dropped because the queue was full.
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
        self._error: OSError | None = None
        self.dropped = 0
        self._queue: BackgroundQueue[_Snapshot] = BackgroundQueue(
            self._save, name="snapshots", capacity=QUEUE_CAPACITY, on_drop=self._count_dropped
        )

    def __enter__(self) -> Self:
        """Create the folder if it is missing, and start the thread that writes snapshots.

        Raises:
            OutputError: The folder cannot be created or is not writable.
        """
        try:
            self._folder.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot create the folder {self._folder}: {error.strerror}") from error
        check_writable(self._folder / "snapshot.jpg")
        self._queue.start()
        return self

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Ignore the header; snapshots hold nothing of it."""

    def handle_events(self, events: Sequence[Event], frame: Frame | None, result: Result | None) -> None:
        """Queue a snapshot for each face that appeared or changed its expression."""
        if frame is None or result is None:
            return
        covered = self._blur.regions(result) if self._blur else ()
        for event in events:
            if event.kind != "left":
                self._queue.put(_Snapshot(self._path(event), frame, result, covered))

    def write(self, frame: Frame, result: Result) -> None:
        """Update the areas to blur.

        Raises:
            OutputError: An earlier snapshot could not be written.
        """
        self._raise_write_error()
        if self._blur:
            self._blur.regions(result)

    def __exit__(self, *_: object) -> None:
        """Write the remaining snapshots, waiting at most `CLOSE_TIMEOUT_S`.

        Raises:
            OutputError: A snapshot could not be written.
        """
        self._queue.close(CLOSE_TIMEOUT_S)
        self._raise_write_error()

    def _path(self, event: Event) -> Path:
        at = datetime.fromtimestamp(self._clock(), UTC)
        stamp = f"{at:%Y%m%dT%H%M%S}{at.microsecond // 1000:03d}Z"
        return self._folder / f"{stamp}-{event.track_id}-{event.kind}-{event.label}.jpg"

    def _save(self, snapshot: _Snapshot) -> None:
        image = snapshot.frame.image
        image = cover(image, snapshot.covered) if snapshot.covered else image
        _, data = cv2.imencode(".jpg", annotate(image, snapshot.result))
        partial = snapshot.path.with_name(f".{snapshot.path.name}")
        try:
            partial.write_bytes(data.tobytes())
            partial.replace(snapshot.path)
            self._remove_expired()
        except OSError as error:
            partial.unlink(missing_ok=True)
            self._error = error

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
        if self._error is not None:
            error, self._error = self._error, None
            raise OutputError(f"cannot write a snapshot to {self._folder}: {error.strerror}") from error

    def _count_dropped(self) -> None:
        self.dropped += 1
