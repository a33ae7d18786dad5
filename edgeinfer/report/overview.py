"""Figures about all recordings: totals, shares, models, and the rows of the overview."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgeinfer.errors import one_line, path_text
from edgeinfer.readers.inputs import FailedSource
from edgeinfer.report.groups import group_order
from edgeinfer.report.recording import Recording, Share, shares_of
from edgeinfer.results import LABELS, UNKNOWN

MAX_LABELS = 24
"""Number of labels that the page distinguishes; it adds up the others."""
MAX_MODEL_LABELS = 1000
MAX_NAME_CHARACTERS = 1000
OTHER_LABEL = "other"
NOT_READABLE = "not readable"
"""Status of a source of which a batch wrote only subtitles."""
WITHOUT_RESULT = ("failed", NOT_READABLE)
"""Statuses of sources without a result on the page."""
LABEL_ORDER = (*LABELS, "contempt")


@dataclass(frozen=True, slots=True)
class OverviewRow:
    """One recording in the overview; sources without a result have only a name, a group and a reason.

    Attributes:
        name: Name of the source on one line.
        status: "complete", "no faces" or "incomplete"; without a result "failed" or "not readable".
        group: Name of the group, or None.
        has_pictures: True for pictures.
        duration_s: Length in seconds, or 0.
        frames: Number of frames or pictures.
        faces: Number of faces.
        tracks: Number of tracks.
        coverage: Share of the frames with a face, or None.
        confidence: Mean confidence, or None.
        shares: Share by label.
        remarks: Titles of the remarks; for a source without a result the reason.
    """

    name: str
    status: str
    group: str | None
    has_pictures: bool = False
    duration_s: float = 0.0
    frames: int = 0
    faces: int = 0
    tracks: int = 0
    coverage: float | None = None
    confidence: float | None = None
    shares: dict[str, float] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelRun:
    """Model, program version and threshold that produced some of the results.

    Attributes:
        model: Name of the model; None if the results do not state it, as in CSV.
        sha256: SHA-256 of the model file, or "".
        version: Version of edgeinfer, or None.
        unknown_below: Confidence threshold of "unknown", or None.
    """

    model: str | None
    sha256: str
    version: str | None
    unknown_below: float | None


@dataclass(slots=True)
class Overview:
    """Sums over all recordings.

    Attributes:
        rows: Recordings and sources without a result in the order of reading.
        video_shares: Seconds by label, over all videos.
        picture_shares: Faces by label, over all pictures.
        model_labels: Labels of the models, whether or not a face has them; at most `MAX_MODEL_LABELS`.
    """

    rows: list[OverviewRow] = field(default_factory=list)
    video_shares: dict[str, Share] = field(default_factory=dict)
    picture_shares: dict[str, Share] = field(default_factory=dict)
    model_labels: set[str] = field(default_factory=set)
    _runs: Counter[ModelRun] = field(default_factory=Counter)
    _frames_with_face: Counter[bool] = field(default_factory=Counter)  # by `has_pictures`

    def add(self, recording: Recording) -> None:
        """Add a recording."""
        total = self.picture_shares if recording.has_pictures else self.video_shares
        for label, share in recording.shares.items():
            total.setdefault(label, Share()).add(share.weight, share.confidence)
        info = recording.info
        if len(self.model_labels) + len(info.labels) <= MAX_MODEL_LABELS:
            self.model_labels.update(info.labels)
        self._runs[ModelRun(info.model, info.sha256, info.version, info.unknown_below)] += 1
        self._frames_with_face[recording.has_pictures] += recording.frames_with_face
        self.rows.append(
            OverviewRow(
                shown_name(recording.name), recording.status, recording.group, recording.has_pictures,
                recording.duration_s, recording.frames, recording.faces, recording.track_count, recording.coverage,
                recording.confidence, shares_of(recording.shares), tuple(remark.title for remark in recording.remarks),
            )
        )  # fmt: skip

    def add_failed(self, source: FailedSource, group: str | None, status: str = "failed") -> None:
        """Add a source without a result; its status is one of `WITHOUT_RESULT`."""
        self.rows.append(OverviewRow(shown_name(source.name), status, group, remarks=(shown_name(source.reason),)))

    @property
    def results(self) -> list[OverviewRow]:
        """Rows of the recordings, without the sources that have no result."""
        return [row for row in self.rows if row.status not in WITHOUT_RESULT]

    @property
    def failed(self) -> list[OverviewRow]:
        """Rows of the failed sources."""
        return [row for row in self.rows if row.status == "failed"]

    @property
    def unreadable(self) -> list[OverviewRow]:
        """Rows of the sources whose results cannot be read."""
        return [row for row in self.rows if row.status == NOT_READABLE]

    def coverage(self, *, has_pictures: bool) -> float | None:
        """Return the share of the frames of all videos, or of all pictures, with a face; None without any."""
        frames = sum(row.frames for row in self.rows if row.has_pictures == has_pictures)
        return min(1.0, self._frames_with_face[has_pictures] / frames) if frames else None

    @property
    def models(self) -> list[tuple[ModelRun, int]]:
        """Models and versions with the number of recordings, the most frequent first."""
        return self._runs.most_common()

    def labels(self) -> list[str]:
        """Return the labels of the page in a fixed order: those of the bundled models, others, "unknown"."""
        weights: dict[str, float] = {}
        for shares in (self.video_shares, self.picture_shares):
            for label, share in shares_of(shares).items():
                weights[label] = weights.get(label, 0.0) + share
        return ordered_labels(weights)


def ordered_labels(weights: Mapping[str, float]) -> list[str]:
    """Return labels in a fixed order, at most `MAX_LABELS`.

    >>> ordered_labels({"bored": 0.5, "unknown": 0.1, "happy": 0.2, "neutral": 0.2})
    ['neutral', 'happy', 'bored', 'unknown']
    """
    known = [label for label in LABEL_ORDER if label in weights]
    foreign = [label for label in weights if label not in (*LABEL_ORDER, UNKNOWN)]
    foreign.sort(key=lambda label: -weights[label])
    room = MAX_LABELS - len(known) - 1
    if len(foreign) > room:
        foreign = [*[label for label in foreign if label != OTHER_LABEL][: room - 1], OTHER_LABEL]
    return [*known, *foreign, *([UNKNOWN] if UNKNOWN in weights else [])]


def on_page(shares: dict[str, float], labels: Sequence[str]) -> list[float]:
    """Return the share of each label of the page; labels that it does not distinguish count as "other"."""
    values = [shares.get(label, 0.0) for label in labels]
    if OTHER_LABEL in labels:
        rest = sum(share for label, share in shares.items() if label not in labels)
        values[labels.index(OTHER_LABEL)] += rest
    return values


def table_data(overview: Overview, labels: Sequence[str], detailed: int) -> dict[str, Any]:
    """Return the data of the page's overview.

    Args:
        overview: All recordings.
        labels: Labels of the page.
        detailed: Number of recordings with details, which are the first ones.

    Returns:
        JSON object; shares, coverage and confidence are in thousandths.
    """
    groups = group_names(overview.rows)
    numbers = {group: number for number, group in enumerate(groups)}
    rows, number = [], 0
    for row in overview.rows:
        detail = 0
        if row.status not in WITHOUT_RESULT:
            number += 1
            detail = number if number <= detailed else 0
        rows.append(
            [
                row.name, row.status, -1 if row.group is None else numbers[row.group], int(row.has_pictures),
                round(row.duration_s, 1), row.frames, row.tracks, _thousandths(row.coverage),
                _thousandths(row.confidence), [_thousandths(share) for share in on_page(row.shares, labels)],
                list(row.remarks), detail,
            ]
        )  # fmt: skip
    return {"labels": [shown_label(label) for label in labels], "groups": list(map(shown_name, groups)), "rows": rows}


def group_names(rows: Iterable[OverviewRow]) -> list[str]:
    """Return the groups in the order of their names, "other" last."""
    return sorted({row.group for row in rows if row.group is not None}, key=group_order)


def shown_name(name: str) -> str:
    """Return a name for display: one line, without invisible control characters, of limited length."""
    text = one_line(path_text(name))
    return text if len(text) <= MAX_NAME_CHARACTERS else f"{text[:500]}…{text[-400:]}"


def shown_label(label: str) -> str:
    """Return a label for display, at most 40 characters long."""
    text = one_line(path_text(label))
    return text if len(text) <= 40 else f"{text[:39]}…"


def _thousandths(share: float | None) -> int | None:
    return None if share is None else round(1000 * share)
