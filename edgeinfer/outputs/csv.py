"""CSV output."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Self

from edgeinfer.errors import path_text
from edgeinfer.outputs.line_writer import FLUSH_S, LineWriter
from edgeinfer.outputs.rotation import Rotation
from edgeinfer.outputs.schema import rounded
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import Face, Frame, Result


class CsvSink(AbstractContextManager["CsvSink"]):
    """Sink that writes one row per face.

    The columns are frame, time_s, track, x, y, w, h, label, confidence and the probability of each label. For pictures,
    the path of the picture comes first. An existing file keeps its content until the first frame is written.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import edgeinfer
        >>> from edgeinfer.model.card import asset_path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "faces.csv")
        ...     with edgeinfer.open_source(str(asset_path("demo.mp4"))) as source:
        ...         summary = edgeinfer.run(
        ...             source, edgeinfer.load_pipeline(), [edgeinfer.CsvSink(str(path))], max_frames=2
        ...         )
        ...     path.read_text().splitlines()[0][:56]
        'frame,time_s,track,x,y,w,h,label,confidence,neutral,happ'
    """

    def __init__(
        self, target: str, *, append: bool = False, rotation: Rotation | None = None, flush_s: float = FLUSH_S
    ) -> None:
        """Validate the arguments; the file is opened by `__enter__`.

        Args:
            target: Path.
            append: Append to an existing file instead of replacing it.
            rotation: Rules for splitting the file, or None.
            flush_s: Longest time that a row stays in the buffer, in seconds, 0..3600.

        Raises:
            UsageError: `flush_s` is out of range.
            OutputError: The folder of the file does not exist.
        """
        self._lines = LineWriter(target, append=append, rotation=rotation, flush_s=flush_s)
        self._columns = ""
        self._has_pictures = False

    def __enter__(self) -> Self:
        """Open the file.

        Raises:
            OutputError: The file cannot be created or opened for writing.
        """
        self._lines.__enter__()
        return self

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Write the row of column names, unless rows are appended to an existing file.

        Raises:
            OutputError: An existing file has different columns.
        """
        self._has_pictures = header.has_pictures
        first = ("picture",) if header.has_pictures else ()
        names = ("frame", "time_s", "track", "x", "y", "w", "h", "label", "confidence")
        self._write_columns(csv_row(*first, *names, *header.labels))

    def write(self, frame: Frame, result: Result) -> None:
        """Write a row for each face, in a new part of the file if one is due.

        Raises:
            OutputError: The rows cannot be written.
        """
        first = (path_text(frame.picture or ""),) if self._has_pictures else ()
        self._write_rows("".join(_face_row(first, frame, face) for face in result.faces))

    def _write_columns(self, columns: str) -> None:
        self._columns = columns
        if not self._lines.start(columns):
            self._lines.write(columns)

    def _write_rows(self, rows: str) -> None:
        self._lines.commit()
        if self._lines.due:
            self._lines.split()
            self._lines.write(self._columns)
        self._lines.write(rows)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close the file."""
        self._lines.__exit__(kind)


def _face_row(first: tuple[str, ...], frame: Frame, face: Face) -> str:
    shares = rounded({"": face.emotion.confidence, **face.emotion.probabilities}).values()
    box = frame.source_box(face.box).xywh
    time_s = round(frame.timestamp_s, 4)
    return csv_row(*first, frame.index, time_s, face.track_id, *box, face.emotion.label, *shares)


def csv_row(*values: object) -> str:
    r"""Return one line of CSV.

    >>> csv_row("a", 1.5, "b,c")
    'a,1.5,"b,c"\n'
    """
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()
