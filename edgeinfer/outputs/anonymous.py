"""Outputs that hold nothing of anybody: how many faces a minute, and how long each expression was shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edgeinfer.outputs.csv import CsvSink, csv_row
from edgeinfer.outputs.jsonl import JsonlSink
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import UNKNOWN, Frame, Result

MINUTE_S = 60.0
LONGEST_STEP_S = 1.0
"""Time between two frames beyond this one is nobody's: the camera was away."""


@dataclass(slots=True)
class Minute:
    """What was counted in a minute, or in the part of one that a run lasted.

    Attributes:
        from_s: its beginning, in seconds on the clock of the frames, a multiple of 60.
        to_s: its end; of the last minute, the last frame.
        faces: different track numbers. A person who leaves and comes back counts again.
        label_s: label to the seconds that it was shown, added over all faces.
    """

    from_s: float
    to_s: float
    faces: int
    label_s: Counter[str] = field(default_factory=Counter)


class MinuteCounter:
    """Counts results by the minute."""

    def __init__(self) -> None:
        """Start without anybody."""
        self._tracks: set[int] = set()
        self._label_s: Counter[str] = Counter()
        self._minute: int | None = None
        self._last_s = 0.0

    def add(self, result: Result) -> Minute | None:
        """Count one result; gives the minute before it, when that is over."""
        now_s = result.timestamp_s
        minute = int(now_s // MINUTE_S)
        over = self._minute is not None and minute != self._minute
        finished = self._take((self._minute or 0) * MINUTE_S + MINUTE_S) if over else None
        step_s = 0.0 if self._minute is None else min(max(0.0, now_s - self._last_s), LONGEST_STEP_S)
        self._minute, self._last_s = minute, now_s
        for face in result.faces:
            self._tracks.add(face.track_id)
            self._label_s[face.emotion.label] += step_s  # type: ignore[assignment]
        return finished

    def close(self) -> Minute | None:
        """The minute that was begun, as far as it went."""
        begun = None if self._minute is None else self._take(self._last_s)
        self._minute = None
        return begun

    def _take(self, to_s: float) -> Minute:
        found = Minute((self._minute or 0) * MINUTE_S, to_s, len(self._tracks), self._label_s)
        self._tracks, self._label_s = set(), Counter()
        return found


class AnonymousJsonlSink(JsonlSink):
    """JSONL with a line for each minute in the place of those for the frames."""

    def __init__(self, target: str, **options: Any) -> None:
        """Open a file, or stdout for "-"; see `open_sink`."""
        super().__init__(target, **options)
        self._counter = MinuteCounter()

    def write(self, frame: Frame, result: Result) -> None:
        """Count one frame."""
        self._put_minute(self._counter.add(result))
        if self._lines.due:
            self._split()

    def __exit__(self, *_: object) -> None:
        """Write the last minute and the summary."""
        try:
            if self._summary is not None:
                self._put_minute(self._counter.close())
        finally:
            super().__exit__()

    def _put_minute(self, minute: Minute | None) -> None:
        if minute is None:
            return
        seconds = {label: round(minute.label_s[label], 1) for label in (*self._header["model"]["labels"], UNKNOWN)}
        span = {"from_s": minute.from_s, "to_s": round(minute.to_s, 1)}
        self._put({"type": "minute", **span, "faces": minute.faces, "label_s": seconds})


class AnonymousCsvSink(CsvSink):
    """CSV with a row for each minute: from_s, to_s, faces, and the seconds that each label was shown."""

    def __init__(self, target: str, **options: Any) -> None:
        """Open a file; see `open_sink`."""
        super().__init__(target, **options)
        self._counter = MinuteCounter()
        self._labels: tuple[str, ...] = ()

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Write the row of column names, unless a file is continued that has it."""
        self._labels = (*header.labels, UNKNOWN)
        self._begin(csv_row("from_s", "to_s", "faces", *self._labels))

    def write(self, frame: Frame, result: Result) -> None:
        """Count one frame."""
        self._put_minute(self._counter.add(result))

    def __exit__(self, *_: object) -> None:
        """Write the last minute and close the file."""
        try:
            self._put_minute(self._counter.close())
        finally:
            super().__exit__()

    def _put_minute(self, minute: Minute | None) -> None:
        if minute is None:
            return
        seconds = (round(minute.label_s[label], 1) for label in self._labels)
        self._add(csv_row(minute.from_s, round(minute.to_s, 1), minute.faces, *seconds))
