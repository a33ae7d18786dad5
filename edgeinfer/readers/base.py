"""Rows of results in any format, their validation, and the role that receives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from edgeinfer.errors import SourceError, shown_path
from edgeinfer.representation import FACE_COLUMNS, POSE_COLUMNS

LARGEST_INTEGER = 2**53
"""Largest frame number, track number or coordinate that is accepted."""
LARGEST_TIME_S = 1e11
"""Largest timestamp that is accepted, in seconds; it allows for Unix times."""
LARGEST_ANGLE = 180.0
"""Largest roll, yaw or pitch that is accepted, in degrees."""
SUFFIXES = (".jsonl", ".parquet", ".csv")
"""Suffixes of results; where a source has several formats, the first of these is read."""
EXPECTED = "expected a .jsonl, .csv or .parquet file"
SUBTITLES = "subtitles cannot be read back; write a .jsonl, .csv or .parquet file too"
COLUMNS = ("frame", "time_s", *FACE_COLUMNS)
"""Columns that every CSV and Parquet result has."""


class FaceDetails(NamedTuple):
    """Values of a face that a report does not need.

    Attributes:
        probabilities: Probability by label, 0..1; empty if the file has none.
        raw: Unsmoothed probability by label, 0..1; empty if the file has none.
        pose: Roll, yaw and pitch in degrees, or None.
    """

    probabilities: Mapping[str, float]
    raw: Mapping[str, float]
    pose: tuple[float, ...] | None


class FaceRow(NamedTuple):
    """One face in one frame.

    Attributes:
        track: Number of the track; in pictures, a number that occurs once.
        xywh: Bounding box in pixels of the source.
        label: Reported expression, or "unknown".
        confidence: Probability, 0..1.
        details: Further values, or None if they are not read.
    """

    track: int
    xywh: tuple[int, int, int, int]
    label: str
    confidence: float
    details: FaceDetails | None = None


class FrameRow(NamedTuple):
    """One frame or picture with its faces.

    Attributes:
        number: Position in the source, from 0.
        time_s: Presentation time in seconds.
        faces: Faces, possibly none.
        picture: Path of the picture, or None for a video.
    """

    number: int
    time_s: float
    faces: Sequence[FaceRow]
    picture: str | None = None


@dataclass(frozen=True, slots=True)
class RunInfo:
    """Header of a run. CSV has none, so that most fields are unknown.

    Attributes:
        source: Name of the source, or None if unknown.
        given: Source as given to the run, if it can differ from `source`, as in a batch; or None.
        model: Name of the model, or None if unknown.
        sha256: SHA-256 of the model file, or "".
        version: Version of edgeinfer, or None if unknown.
        unknown_below: Confidence threshold of the label "unknown", or None if unknown or not set.
        has_pictures: True for pictures, False for a video; None if it is unknown before the first frame.
        lists_all_frames: True if frames without a face have rows too.
        has_summary: True if a completed run ends with a summary, so that its absence shows a killed run.
        labels: Labels of the model; empty if unknown.
    """

    source: str | None = None
    given: str | None = None
    model: str | None = None
    sha256: str = ""
    version: str | None = None
    unknown_below: float | None = None
    has_pictures: bool | None = None
    lists_all_frames: bool = False
    has_summary: bool = False
    labels: tuple[str, ...] = ()


class Receiver(Protocol):
    """Role of a consumer of results.

    A reader is a generator that passes at most one line or row to its receiver between two steps, so that its consumer
    determines the pace.
    """

    @property
    def wants_details(self) -> bool:
        """True to receive `FaceRow.details`."""

    def begin(self, info: RunInfo) -> None:
        """Start a run, and end the previous one of the same file, if any."""

    def add(self, frame: FrameRow) -> None:
        """Add the next frame."""

    def list_all_frames(self) -> None:
        """Note that the current run has rows for frames without a face."""

    def summarize(self, summary: Mapping[str, Any]) -> None:
        """Add the counts at the end of a completed run: dropped, skipped, reconnects."""

    def reject(self) -> None:
        """Count a row or line that cannot be read."""


class NotAResultError(SourceError):
    """A file is not a result of edgeinfer."""

    def __init__(self, path: Path, cause: str) -> None:
        super().__init__(f"{shown_path(path)} is not a result of edgeinfer: {cause}")


class OtherContentError(NotAResultError):
    """The content of a file is not that of a result; with the suffix of another kind of file, the suffix is why."""

    def __init__(self, path: Path, cause: str) -> None:
        super().__init__(path, cause if path.suffix.lower() in SUFFIXES else EXPECTED)


ANONYMOUS = "it has anonymous counts per minute; faces are only in results without `anonymous`"


def integer(value: Any) -> int | None:
    """Return an integer of an accepted size, or None."""
    if type(value) is not int or not -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
        return None
    return value


def number(value: Any, largest: float) -> float | None:
    """Return a finite number of an accepted size, or None."""
    if type(value) not in (int, float) or not -largest <= value <= largest:  # False for NaN
        return None
    return float(value)


def face_row(track: Any, xywh: Sequence[Any], label: Any, confidence: Any) -> FaceRow | None:
    """Return a face, or None if a value is missing or out of range."""
    valid_track, valid_confidence = integer(track), number(confidence, 1.0)
    box = tuple(map(integer, xywh))
    if valid_track is None or valid_confidence is None or valid_confidence < 0 or type(label) is not str or not label:
        return None
    if len(box) != 4 or None in box or box[2] <= 0 or box[3] <= 0:  # type: ignore[operator]
        return None
    return FaceRow(valid_track, box, label, valid_confidence)  # type: ignore[arg-type]


def face_details(probabilities: Any, raw: Any, pose: Any) -> FaceDetails:
    """Return the further values of a face without those that are invalid.

    Args:
        probabilities: Map from label to probability.
        raw: Map from label to probability, or None.
        pose: Map from "roll", "yaw" and "pitch" to degrees, or None.
    """
    angles = [number(pose.get(name), LARGEST_ANGLE) for name in POSE_COLUMNS] if isinstance(pose, dict) else [None]
    known = tuple(angle for angle in angles if angle is not None)
    return FaceDetails(_shares(probabilities), _shares(raw), known if len(known) == len(POSE_COLUMNS) else None)


def _shares(values: Any) -> dict[str, float]:
    """Return the valid probabilities by label."""
    found = {label: number(value, 1.0) for label, value in values.items()} if isinstance(values, dict) else {}
    return {label: share for label, share in found.items() if share is not None and share >= 0}


def frame_row(index: Any, time_s: Any, faces: Sequence[FaceRow], picture: Any) -> FrameRow | None:
    """Return a frame, or None if a value is missing or out of range."""
    valid_index, valid_time = integer(index), number(time_s, LARGEST_TIME_S)
    if valid_index is None or valid_index < 0 or valid_time is None:
        return None
    return FrameRow(valid_index, valid_time, faces, picture if type(picture) is str else None)


def text_of(value: Any) -> str | None:
    """Return a text that is not empty, or None."""
    return value if type(value) is str and value else None


def run_info(header: Mapping[str, Any], *, lists_all_frames: bool) -> RunInfo:
    """Return the header of a run from the header line of JSONL, in which any value can be missing or invalid."""
    model, versions = header.get("model"), header.get("versions")
    model = model if isinstance(model, dict) else {}
    versions = versions if isinstance(versions, dict) else {}
    return RunInfo(
        source=text_of(header.get("source")),
        model=text_of(model.get("name")),
        sha256=text_of(model.get("sha256")) or "",
        version=text_of(versions.get("edgeinfer")),
        unknown_below=number(header.get("unknown_below"), 1.0),
        lists_all_frames=lists_all_frames,
        has_summary=True,
        labels=_labels_of(model.get("labels")),
    )


def _labels_of(value: Any) -> tuple[str, ...]:
    return tuple(label for label in value if type(label) is str) if type(value) is list else ()
