"""Summaries of one recording and its tracks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from edgeinfer.readers.base import RunInfo
from edgeinfer.report.bins import BinnedTimes, TimeGrid
from edgeinfer.results import UNKNOWN

RecordingStatus = Literal["complete", "no faces", "incomplete"]
"""State of a recording: "incomplete" if its run did not end, for example because it was killed."""


class Moment(NamedTuple):
    """One face in one frame, for example the most confident one of a track.

    Attributes:
        confidence: Probability of the label, 0..1.
        number: Frame number.
        time_s: Presentation time in seconds.
        xywh: Bounding box in pixels of the source.
        picture: Path of the picture, or None.
    """

    confidence: float
    number: int
    time_s: float
    xywh: tuple[int, int, int, int]
    picture: str | None


class Remark(NamedTuple):
    """A reason to read the results of a recording with care.

    Attributes:
        title: Two or three words.
        text: One sentence.
    """

    title: str
    text: str


@dataclass(slots=True)
class Share:
    """Weight and confidence of one expression.

    Attributes:
        weight: Seconds, or number of faces in pictures.
        confidence_sum: Sum of weight times confidence.
        best: Most confident moment; only recorded for pictures.
    """

    weight: float = 0.0
    confidence_sum: float = 0.0
    best: Moment | None = None

    def add(self, weight: float, confidence: float) -> None:
        """Add a face that was seen for some time, or in one picture."""
        self.weight += weight
        self.confidence_sum += weight * confidence

    @property
    def confidence(self) -> float:
        """Mean confidence, 0..1."""
        return self.confidence_sum / self.weight if self.weight > 0 else 0.0


@dataclass(slots=True)
class Track:
    """Expressions of one track.

    Attributes:
        number: Number of the track.
        first_s: Time of the first frame in seconds.
        last_s: Time of the last frame in seconds.
        shares: Share by label; their weights are seconds.
        times: Seconds and confidence by interval; the channel is the index in `Recording.labels`.
        best: Most confident moment, or None.
    """

    number: int
    first_s: float
    last_s: float
    shares: dict[str, Share] = field(default_factory=dict)
    times: BinnedTimes = field(default_factory=BinnedTimes)
    best: Moment | None = None

    @property
    def duration_s(self) -> float:
        """Time from the first to the last frame, in seconds."""
        return self.last_s - self.first_s

    @property
    def seen_s(self) -> float:
        """Time in view, in seconds."""
        return total_weight(self.shares.values())

    @property
    def dominant(self) -> str:
        """Expression with the longest time; "unknown" only if there is no other."""
        return dominant(self.shares)

    @property
    def confidence(self) -> float:
        """Mean confidence over the time in view, 0..1."""
        return mean_confidence(self.shares.values())

    @property
    def unknown_share(self) -> float:
        """Share of the time in view with the label "unknown", 0..1."""
        return shares_of(self.shares).get(UNKNOWN, 0.0)


@dataclass(slots=True)
class Recording:
    """Summary of one run.

    Attributes:
        name: Name of the source.
        result: Path of the result file.
        info: Header of the run.
        labels: All labels in the order of their first occurrence; at most `CHANNELS`.
        has_pictures: True for pictures, which have neither time nor tracks.
        frames: Number of frames or pictures; without rows for empty frames, an estimate from the frame numbers.
        frames_with_face: Number of frames or pictures with a face.
        faces: Number of faces, summed over all frames.
        start_s: Time of the first frame in seconds.
        end_s: End of the last frame in seconds.
        shares: Share by label; the weights are seconds, or numbers of faces in pictures.
        tracks: In the order of their numbers; empty for pictures.
        grid: Intervals of all series.
        presence: Seconds by interval with a face (channel 0) and without (channel 1).
        lists_all_frames: True if frames without a face were read, so that presence is exact.
        face_width_px: Median width of the faces in pixels, or None without faces.
        status: State of the run.
        remarks: Reasons to read the results with care.
        group: Group of the recording, or None without groups.
    """

    name: str
    result: str
    info: RunInfo
    labels: list[str] = field(default_factory=list)
    has_pictures: bool = False
    frames: int = 0
    frames_with_face: int = 0
    faces: int = 0
    start_s: float = 0.0
    end_s: float = 0.0
    shares: dict[str, Share] = field(default_factory=dict)
    tracks: list[Track] = field(default_factory=list)
    grid: TimeGrid = field(default_factory=lambda: TimeGrid(0.0))
    presence: BinnedTimes = field(default_factory=BinnedTimes)
    lists_all_frames: bool = False
    face_width_px: int | None = None
    status: RecordingStatus = "complete"
    remarks: list[Remark] = field(default_factory=list)
    group: str | None = None

    @property
    def duration_s(self) -> float:
        """Length in seconds; 0 for pictures."""
        return self.end_s - self.start_s

    @property
    def coverage(self) -> float | None:
        """Share of the frames with a face, 0..1; None without frames."""
        return min(1.0, self.frames_with_face / self.frames) if self.frames else None

    @property
    def confidence(self) -> float | None:
        """Mean confidence, 0..1; None without faces."""
        return mean_confidence(self.shares.values()) if self.faces else None

    @property
    def track_count(self) -> int:
        """Number of tracks."""
        return len(self.tracks)


def total_weight(shares: Iterable[Share]) -> float:
    """Return the sum of the weights."""
    return sum(share.weight for share in shares)


def mean_confidence(shares: Iterable[Share]) -> float:
    """Return the mean confidence, 0..1; 0 for no shares."""
    weight = confidence_sum = 0.0
    for share in shares:
        weight, confidence_sum = weight + share.weight, confidence_sum + share.confidence_sum
    return min(1.0, confidence_sum / weight) if weight > 0 else 0.0


def shares_of(shares: dict[str, Share]) -> dict[str, float]:
    """Return the share of each label in the total weight; they sum to 1. Empty without weight."""
    total = total_weight(shares.values())
    return {label: share.weight / total for label, share in shares.items()} if total > 0 else {}


def dominant(shares: dict[str, Share]) -> str:
    """Return the label with the largest weight; "unknown" only if there is no other, "" without labels."""
    known = {label: share.weight for label, share in shares.items() if label != UNKNOWN}
    if known:
        return max(known, key=known.__getitem__)
    return UNKNOWN if shares else ""
