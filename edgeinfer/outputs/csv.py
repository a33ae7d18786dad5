"""CSV output."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from typing import Unpack

from edgeinfer.errors import path_text
from edgeinfer.outputs.line_sink import LineOptions, LineSink
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.representation import FACE_COLUMNS, POSE_COLUMNS, label_column, pose_values, rounded
from edgeinfer.results import Face, Frame, Result
from edgeinfer.units import counted


class CsvSink(LineSink):
    """Sink that writes one row per face.

    The columns are frame, time_s, track, x, y, w, h, label, confidence and the probability of each label, and roll, yaw
    and pitch if the detector estimates them; a label with the name of another column is followed by "(label)". For
    pictures, the path of the picture comes first. An existing file keeps its content until the first frame is written.

    Attributes:
        written: Path and number of rows, for the summary of a run; empty before the first frame, and for stdout.

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

    def __init__(self, target: str, *, empty_frames: bool = False, **options: Unpack[LineOptions]) -> None:
        """Validate the arguments; the file is opened by `__enter__`.

        Args:
            target: Path.
            empty_frames: Write a row for each frame without faces too, in which only the columns up to time_s have a
                value.
            options: As for `JsonlSink`.

        Raises:
            UsageError: `flush_s` is out of range.
            OutputError: The folder of the file does not exist.
        """
        super().__init__(target, **options)
        self._empty_frames = empty_frames
        self._columns = ""
        self._empty_values: tuple[str, ...] = ()
        self._has_pictures = self._has_poses = False
        self._rows = 0

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Write the row of column names, unless rows are appended to an existing file.

        Raises:
            OutputError: An existing file has different columns.
        """
        self._has_pictures = header.has_pictures
        first = ("picture",) if header.has_pictures else ()
        self._has_poses = header.has_poses
        names = (*FACE_COLUMNS, *map(label_column, header.labels), *(POSE_COLUMNS if header.has_poses else ()))
        self._empty_values = ("",) * len(names)
        self._write_columns(csv_row(*first, "frame", "time_s", *names))

    def write(self, frame: Frame, result: Result) -> None:
        """Write a row for each face, in a new part of the file if one is due.

        Raises:
            OutputError: The rows cannot be written.
        """
        picture = (path_text(frame.picture or ""),) if self._has_pictures else ()
        first = (*picture, frame.index, round(frame.timestamp_s, 4))
        rows = [csv_row(*first, *_face_values(frame, face, has_pose=self._has_poses)) for face in result.faces]
        if self._empty_frames and not rows:
            rows.append(csv_row(*first, *self._empty_values))
        self._write_rows(rows)

    def _write_columns(self, columns: str) -> None:
        self._columns = columns
        if not self._lines.start(columns):
            self._lines.write(columns)

    def _write_rows(self, rows: Sequence[str]) -> None:
        self._lines.commit()
        if self._lines.due:
            self._lines.split()
            self._lines.write(self._columns)
        self._lines.write("".join(rows))
        self._rows += len(rows)

    @property
    def written(self) -> tuple[str, ...]:
        """Path and number of rows."""
        return self._lines.written(counted(self._rows, "row"))


def _face_values(frame: Frame, face: Face, *, has_pose: bool) -> tuple[object, ...]:
    shares = rounded({"": face.emotion.confidence, **face.emotion.probabilities}).values()
    pose = pose_values(face.pose) if has_pose else ()
    return (face.track_id, *frame.source_box(face.box).xywh, face.emotion.label, *shares, *pose)


def csv_row(*values: object) -> str:
    r"""Return one line of CSV.

    >>> csv_row("a", 1.5, "b,c")
    'a,1.5,"b,c"\n'
    """
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()
