"""CSV output."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from contextlib import AbstractContextManager

from edgeinfer.outputs.line_writer import FLUSH_S, LineWriter
from edgeinfer.outputs.rotation import Rotation
from edgeinfer.outputs.schema import rounded
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import Face, Frame, Result


class CsvSink(AbstractContextManager["CsvSink"]):
    """One row a face: frame, time_s, track, x, y, w, h, label, confidence and a probability for each label."""

    def __init__(
        self, target: str, *, append: bool = False, rotation: Rotation | None = None, flush_s: float = FLUSH_S
    ) -> None:
        """Open a file; see `open_sink`."""
        self._lines = LineWriter(target, append=append, rotation=rotation, flush_s=flush_s)
        self._columns = ""

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Write the row of column names, unless a file is continued that has it."""
        self._begin(csv_row("frame", "time_s", "track", "x", "y", "w", "h", "label", "confidence", *header.labels))

    def write(self, frame: Frame, result: Result) -> None:
        """Write a row for each face, in a new part of the file if one is due."""
        self._add("".join(_face_row(frame, face) for face in result.faces))

    def _begin(self, columns: str) -> None:
        self._columns = columns
        if not self._lines.start(columns):
            self._lines.write(columns)

    def _add(self, rows: str) -> None:
        if self._lines.due:
            self._lines.split()
            self._lines.write(self._columns)
        self._lines.write(rows)

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._lines.close()


def _face_row(frame: Frame, face: Face) -> str:
    shares = rounded({"": face.emotion.confidence, **face.emotion.probabilities}).values()
    return csv_row(frame.index, round(frame.timestamp_s, 4), face.track_id, *face.box.xywh, face.emotion.label, *shares)


def csv_row(*values: object) -> str:
    """A line of CSV."""
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()
