"""The summary as CSV: one row per track, or per face in pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeinfer.errors import EdgeInferError, OutputError, path_text, shown_path
from edgeinfer.outputs.csv import csv_row
from edgeinfer.readers.base import FaceRow, FrameRow
from edgeinfer.readers.inputs import SUMMARY_COLUMNS
from edgeinfer.report.recording import Recording
from edgeinfer.results import UNKNOWN
from edgeinfer.system.files import replacing


class SummaryTable:
    """Rows of the summary, written while the results are read.

    Attributes:
        rows: Number of rows so far.
    """

    def __init__(self, path: Path | None) -> None:
        """Set the path; without one, nothing is written."""
        self.rows = 0
        self._path = path
        self._write: Callable[[str], object] = lambda _text: None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Create the file and rename it to its final name if the block succeeds.

        Raises:
            OutputError: The file cannot be written.
        """
        if self._path is None:
            yield
            return
        try:
            with replacing(self._path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
                self._write = file.write
                self._write(csv_row(*SUMMARY_COLUMNS))
                yield
        except EdgeInferError:  # of the results that are read meanwhile
            raise
        except OSError as error:
            raise self._failed(error) from error

    def add(self, recording: Recording) -> None:
        """Write the tracks of a recording."""
        for track in recording.tracks:
            self._add(
                recording.name, track.number, _rounded(track.first_s), _rounded(track.last_s),
                _rounded(track.duration_s), path_text(track.dominant), _rounded(track.confidence),
                _rounded(track.unknown_share),
            )  # fmt: skip

    def add_picture_face(self, frame: FrameRow, face: FaceRow) -> None:
        """Write a face in a picture, which has no time; the source is the path of the picture."""
        unknown = 1.0 if face.label == UNKNOWN else 0.0
        self._add(
            frame.picture or "", face.track, "", "", "", path_text(face.label), _rounded(face.confidence), unknown
        )

    def _add(self, source: str, *values: object) -> None:
        self.rows += 1
        try:
            self._write(csv_row(path_text(source), *values))
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> OutputError:
        return OutputError(f"cannot write {shown_path(self._path or '')}: {error.strerror}")


def _rounded(value: float) -> float:
    return round(value, 4)
