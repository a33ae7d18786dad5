"""Reasons to read the results of a recording with care."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgeinfer.errors import one_line
from edgeinfer.readers.base import integer
from edgeinfer.readers.batch_list import BatchEntry
from edgeinfer.report.recording import Recording, Remark

SMALL_FACE_PX = 32
"""Width of a face in pixels below which the bundled models lose accuracy.

The models read 48x48 pixels. On validation faces reduced to 24 pixels, accuracy falls from 0.84 to 0.80, at 16 pixels
to 0.73 (`benchmarks/bundled_model.py`, table in models/README.md); training reduced a quarter of the faces to 12 to 32.
"""
MAX_REASON_CHARACTERS = 1000
FEW_FACES = 0.1
"""Share of frames with a face below which a recording has a remark."""


@dataclass(slots=True)
class Counts:
    """Counts of a run that its frames do not show.

    Attributes:
        has_summary: True if the run ended with a summary.
        frames: Number of frames that the summary states, or 0.
        dropped: Number of frames that a live source dropped.
        skipped: Number of frames or files that could not be decoded.
        reconnects: Number of times that a live source was lost and recovered.
        rejected: Number of rows that could not be read.
    """

    has_summary: bool = False
    frames: int = 0
    dropped: int = 0
    skipped: int = 0
    reconnects: int = 0
    rejected: int = 0

    def add_summary(self, summary: Mapping[str, Any]) -> None:
        """Add the counts of a summary line, in which any value can be missing or invalid."""
        self.has_summary = True
        self.frames += _count(summary, "frames")
        self.dropped += _count(summary, "dropped")
        self.skipped += _count(summary, "skipped")
        self.reconnects += _count(summary, "reconnects")


def remarks_of(recording: Recording, counts: Counts, entry: BatchEntry | None) -> list[Remark]:
    """Return the remarks about a recording, the most serious ones first.

    Args:
        recording: Recording with all other fields set.
        counts: Further counts of its run.
        entry: Row of the batch's list, or None.
    """
    return [*_run_remarks(recording, counts, entry), *_face_remarks(recording)]


def _run_remarks(recording: Recording, counts: Counts, entry: BatchEntry | None) -> Iterator[Remark]:
    unit = "picture" if recording.has_pictures else "frame"
    if recording.status == "incomplete":
        yield Remark("incomplete run", "The result has no summary: the run was killed or is still in progress.")
    if entry is not None and entry.reason:
        yield Remark("damaged source", f"The batch reported: {one_line(entry.reason)[:MAX_REASON_CHARACTERS]}")
    if counts.rejected:
        yield Remark("unreadable rows", f"{_number(counts.rejected, 'row')} of the result could not be read.")
    if counts.dropped:
        total = recording.frames + counts.dropped
        yield Remark(
            "dropped frames",
            f"{counts.dropped:,} of {_number(total, 'frame')} were dropped, because processing was slower than the "
            "source.",
        )
    if counts.skipped:
        yield Remark(f"skipped {unit}s", f"{_number(counts.skipped, unit)} could not be read.")
    if counts.reconnects:
        yield Remark("lost connection", f"The source was lost and recovered {_number(counts.reconnects, 'time')}.")


def _face_remarks(recording: Recording) -> Iterator[Remark]:
    unit = "pictures" if recording.has_pictures else "frames"
    coverage = recording.coverage
    if recording.faces == 0:
        yield Remark("no faces", f"No face was found in the {recording.frames:,} {unit}.")
    elif coverage is not None and coverage < FEW_FACES:
        yield Remark("few faces", f"Only {100 * coverage:.1f} % of the {unit} have a face.")
    width = recording.face_width_px
    if width is not None and width < SMALL_FACE_PX:
        yield Remark(
            "small faces",
            f"Half of the faces are at most {width} pixels wide; below {SMALL_FACE_PX} pixels the bundled models are "
            "less accurate.",
        )


def _count(summary: Mapping[str, Any], name: str) -> int:
    return max(0, integer(summary.get(name)) or 0)


def _number(count: int, unit: str) -> str:
    """Return a count with its unit.

    >>> _number(1, "row"), _number(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{count:,} {unit}{'' if count == 1 else 's'}"
