"""Grouping of the rows of CSV and Parquet, one per face, into frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from edgeinfer.readers.base import FaceRow, FrameRow, Receiver, RunInfo, face_details, face_row, frame_row
from edgeinfer.representation import POSE_COLUMNS, RESERVED_COLUMNS


def further_columns(names: Sequence[str], receiver: Receiver) -> tuple[Sequence[str], Sequence[str]]:
    """Return the columns of the probabilities and of the pose; none if the receiver does not want them.

    Args:
        names: All columns of a table.
        receiver: Object that receives the runs.
    """
    if not receiver.wants_details:
        return (), ()
    return label_columns(names), POSE_COLUMNS if set(POSE_COLUMNS) <= set(names) else ()


def label_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of the probabilities among all columns of a table."""
    return tuple(name for name in names if name not in RESERVED_COLUMNS)


class TableRow(NamedTuple):
    """Values of one row; those of a face are None if the frame has none.

    Attributes:
        picture: Path of the picture, or None for a video.
        number: Frame number.
        time_s: Presentation time in seconds.
        track: Number of the track.
        xywh: Bounding box in pixels.
        label: Expression.
        confidence: Probability, 0..1.
        shares: Probability by label; empty if it is not read.
        pose: Degrees by angle, None for each if unknown; empty if they are not read.
    """

    picture: Any
    number: Any
    time_s: Any
    track: Any
    xywh: tuple[Any, ...]
    label: Any
    confidence: Any
    shares: Mapping[str, Any] = {}
    pose: Mapping[str, Any] = {}


class RowGrouper:
    """Conversion of successive rows into frames. A frame number below the previous one starts another run."""

    def __init__(self, receiver: Receiver) -> None:
        """Create a grouper without rows."""
        self._receiver = receiver
        self._info = RunInfo()
        self._frame: FrameRow | None = None
        self._faces: list[FaceRow] = []

    def begin(self, info: RunInfo) -> None:
        """Start a run."""
        self.flush()
        self._info = info
        self._receiver.begin(info)

    def add(self, row: TableRow) -> None:
        """Add a row; one with an invalid value is rejected."""
        frame = frame_row(row.number, row.time_s, (), row.picture)
        is_empty = row.track is None and row.label is None
        face = None if is_empty else self._face(row)
        if frame is None or (face is None and not is_empty):
            self._receiver.reject()
            return
        self._move_to(frame)
        if face is None:
            self._receiver.list_all_frames()
        else:
            self._faces.append(face)

    def _face(self, row: TableRow) -> FaceRow | None:
        face = face_row(row.track, row.xywh, row.label, row.confidence)
        if face is None or not self._receiver.wants_details:
            return face
        return face._replace(details=face_details(row.shares, None, row.pose))

    def flush(self) -> None:
        """Pass the last frame to the receiver."""
        if self._frame is not None:
            self._receiver.add(FrameRow(self._frame.number, self._frame.time_s, self._faces, self._frame.picture))
        self._frame, self._faces = None, []

    def _move_to(self, frame: FrameRow) -> None:
        """Make a frame the current one, unless it is that of the previous row."""
        current = self._frame
        if current is not None and (current.number, current.picture) == (frame.number, frame.picture):
            return
        self.flush()
        if current is not None and frame.number < current.number:
            self._receiver.begin(self._info)
        self._frame = frame
