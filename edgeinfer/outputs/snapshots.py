"""Pictures of events, kept for a while."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import cv2

from edgeinfer.errors import OutputError, UsageError
from edgeinfer.outputs.background import BackgroundQueue
from edgeinfer.outputs.base import check_writable
from edgeinfer.outputs.draw import FaceBlur, annotate, cover
from edgeinfer.outputs.events import HOLD_S, Event, EventDetector
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import Box, Frame, Result

MOST_WAITING = 8
"""Pictures that wait to be written; each holds a frame."""
CLOSING_S = 10.0
NAME = re.compile(r"\d{8}T\d{9}Z-\d+-(appeared|changed)-\w+\.jpg")


@dataclass(frozen=True, slots=True)
class _Shot:
    path: Path
    frame: Frame
    result: Result
    covered: tuple[Box, ...]


class SnapshotSink(AbstractContextManager["SnapshotSink"]):
    """An annotated JPEG of each moment in which a face appears or changes its expression.

    Names hold the time (UTC), the track, the event and the label: "20261123T101530123Z-3-changed-happy.jpg". Pictures
    are written by another thread; where the disk is slow, the oldest that wait are left out.

    Attributes:
        dropped: pictures that were left out.
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
        """Make the folder where it is missing; older pictures count, and go in their turn.

        Args:
            folder: for the pictures; other files in it are left alone.
            keep: how many pictures stay, the youngest ones, 1 or more.
            age_s: after which a picture goes, in seconds; None for any age. It is looked at when one is written.
            blur: make faces unrecognizable.
            clock: the time, in seconds since 1970.

        Raises:
            UsageError: fewer than one are kept.
            OutputError: the folder cannot be made or written.
        """
        if keep < 1:
            raise UsageError(f"one snapshot or more is kept, not {keep}")
        self._folder, self._keep, self._age_s, self._clock = Path(folder), keep, age_s, clock
        try:
            self._folder.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make the folder {self._folder}: {error.strerror}") from error
        check_writable(self._folder / "a picture")
        self._blur = FaceBlur() if blur else None
        self._events = EventDetector(hold_s=HOLD_S)
        self._error: OSError | None = None
        self.dropped = 0
        self._outbox: BackgroundQueue[_Shot] = BackgroundQueue(
            self._save, name="writes snapshots", most=MOST_WAITING, dropped=self._count_dropped
        )

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Begin to write."""
        self._outbox.start()

    def write(self, frame: Frame, result: Result) -> None:
        """Leave a picture to be written if something happened.

        Raises:
            OutputError: an earlier one could not be written.
        """
        self._check()
        covered = self._blur.places(result) if self._blur else ()
        for event in self._events.update(result):
            if event.kind != "left":
                self._outbox.put(_Shot(self._path(event), frame, result, covered))

    def __exit__(self, *_: object) -> None:
        """Write what waits.

        Raises:
            OutputError: one could not be written.
        """
        self._outbox.close(CLOSING_S)
        self._check()

    def _path(self, event: Event) -> Path:
        at = datetime.fromtimestamp(self._clock(), UTC)
        stamp = f"{at:%Y%m%dT%H%M%S}{at.microsecond // 1000:03d}Z"
        return self._folder / f"{stamp}-{event.track_id}-{event.kind}-{event.label}.jpg"

    def _save(self, shot: _Shot) -> None:
        image = cover(shot.frame.image, shot.covered) if shot.covered else shot.frame.image
        _, data = cv2.imencode(".jpg", annotate(image, shot.result))
        partial = shot.path.with_name(f".{shot.path.name}")
        try:
            partial.write_bytes(data.tobytes())
            partial.replace(shot.path)
            self._tidy()
        except OSError as error:
            partial.unlink(missing_ok=True)
            self._error = error

    def _tidy(self) -> None:
        """Remove what is too old or too much."""
        pictures = sorted(path for path in self._folder.iterdir() if NAME.fullmatch(path.name))
        # A name begins with its time, so that a copied folder keeps its ages.
        oldest_s = self._clock() - self._age_s if self._age_s is not None else 0.0
        oldest = f"{datetime.fromtimestamp(max(0.0, oldest_s), UTC):%Y%m%dT%H%M%S}"
        for number, path in enumerate(reversed(pictures)):
            if number >= self._keep or path.name < oldest:
                path.unlink(missing_ok=True)

    def _check(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise OutputError(f"cannot write a snapshot into {self._folder}: {error.strerror}") from error

    def _count_dropped(self) -> None:
        self.dropped += 1
