"""Anonymous per-minute aggregates: the number of faces, and the time for which each expression was shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Unpack

from edgeinfer.outputs.csv import CsvSink, csv_row
from edgeinfer.outputs.jsonl import JsonlSink
from edgeinfer.outputs.line_sink import LineOptions
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.representation import label_column
from edgeinfer.results import UNKNOWN, Frame, Result
from edgeinfer.units import counted

_COLUMNS = ("from_s", "to_s", "faces")
MINUTE_S = 60.0
LONGEST_STEP_S = 1.0
"""Longest interval between frames that counts in full, in seconds: in a longer gap the camera was disconnected."""


@dataclass(slots=True)
class Minute:
    """Counts for one minute, or for the part of it within the run.

    Attributes:
        from_s: Start in seconds in the time base of the frames, a multiple of 60.
        to_s: End in seconds; for the last minute, the time of the last frame.
        faces: Number of different track ids; a person who leaves and returns counts again.
        label_s: Map from label to the seconds for which it was shown, summed over all faces.
    """

    from_s: float
    to_s: float
    faces: int
    label_s: Counter[str] = field(default_factory=Counter)


class MinuteCounter:
    """Aggregation of results by minute."""

    def __init__(self) -> None:
        """Create a counter without results."""
        self._tracks: set[int] = set()
        self._label_s: Counter[str] = Counter()
        self._minute: int | None = None
        self._last_s = 0.0

    def add(self, result: Result) -> Minute | None:
        """Count one result; return the previous minute if the result starts a new one, else None."""
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
        """Return the unfinished minute up to the last result, or None if there is none."""
        unfinished = None if self._minute is None else self._take(self._last_s)
        self._minute = None
        return unfinished

    def _take(self, to_s: float) -> Minute:
        minute = Minute((self._minute or 0) * MINUTE_S, to_s, len(self._tracks), self._label_s)
        self._tracks, self._label_s = set(), Counter()
        return minute


class AnonymousJsonlSink(JsonlSink):
    """Sink that writes JSONL with one line per minute instead of one per frame."""

    def __init__(self, target: str, **options: Unpack[LineOptions]) -> None:
        """Validate the arguments; see `JsonlSink`."""
        super().__init__(target, **options)
        self._counter = MinuteCounter()
        self._minutes = 0

    def write(self, frame: Frame, result: Result) -> None:
        """Count one frame; at the start of a new minute, write the line of the previous one."""
        self._lines.commit()
        self._write_minute(self._counter.add(result))
        if self._lines.due:
            self._split()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write the last minute and the summary and close the file."""
        try:
            if self._summary is not None:
                self._write_minute(self._counter.close())
        finally:
            super().__exit__(kind)

    def _write_minute(self, minute: Minute | None) -> None:
        if minute is None:
            return
        seconds = {label: round(minute.label_s[label], 1) for label in (*self._header["model"]["labels"], UNKNOWN)}
        span = {"from_s": minute.from_s, "to_s": round(minute.to_s, 1)}
        self._write_line({"type": "minute", **span, "faces": minute.faces, "label_s": seconds})
        self._minutes += 1

    @property
    def written(self) -> tuple[str, ...]:
        """Path and number of minutes."""
        return self._lines.written(counted(self._minutes, "minute"))


class AnonymousCsvSink(CsvSink):
    """Sink that writes one CSV row per minute: from_s, to_s, faces, and the seconds for which each label was shown."""

    def __init__(self, target: str, **options: Unpack[LineOptions]) -> None:
        """Validate the arguments; see `CsvSink`."""
        super().__init__(target, **options)
        self._counter = MinuteCounter()
        self._labels: tuple[str, ...] = ()

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Write the row of column names, unless rows are appended to an existing file."""
        self._labels = tuple(dict.fromkeys((*header.labels, UNKNOWN)))
        names = (label_column(label, _COLUMNS) for label in self._labels)
        self._write_columns(csv_row(*_COLUMNS, *names))

    def write(self, frame: Frame, result: Result) -> None:
        """Count one frame; at the start of a new minute, write the row of the previous one."""
        self._lines.commit()
        self._write_minute(self._counter.add(result))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write the last minute and close the file."""
        try:
            self._write_minute(self._counter.close())
        finally:
            super().__exit__(kind)

    def _write_minute(self, minute: Minute | None) -> None:
        if minute is None:
            return
        seconds = (round(minute.label_s[label], 1) for label in self._labels)
        self._write_rows([csv_row(minute.from_s, round(minute.to_s, 1), minute.faces, *seconds)])
