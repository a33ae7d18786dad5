"""Details of one recording: the values that its template shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgeinfer.report.overview import OTHER_LABEL, on_page, shown_label, shown_name
from edgeinfer.report.recording import Recording, Share, Track, shares_of
from edgeinfer.report.timeline import MAX_LANES, Timeline, clock, longest_tracks, presence_path, ticks
from edgeinfer.results import UNKNOWN

PRESENCE_STEPS = 120
TENTHS_BELOW_S = 600
"""Length of a recording in seconds below which times have tenths of seconds."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes of one recording's details, so that a page with many recordings stays small.

    Attributes:
        steps: Maximum number of steps in the timeline.
        tracks: Maximum number of tracks in the table.
    """

    steps: int
    tracks: int

    @classmethod
    def of(cls, recordings: int) -> Limits:
        """Return the limits for a number of recordings."""
        count = max(1, recordings)
        return cls(max(1, min(8000, 100_000 // count)), max(40, min(1000, 4000 // count)))

    def scaled(self, factor: float) -> Limits:
        """Return limits that are smaller by a factor, 0..1."""
        return Limits(max(1, int(self.steps * factor)), max(1, int(self.tracks * factor)))


@dataclass(frozen=True, slots=True)
class Images:
    """Pictures of faces as data URIs.

    Attributes:
        tracks: By track number.
        labels: By label, for pictures.
    """

    tracks: Mapping[int, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ShareRow:
    """One expression of a stacked bar.

    Attributes:
        channel: Index of the label on the page.
        label: Label.
        share: Share, 0..1.
        offset: Start of its part of the bar in percent.
        width: Width of its part in percent.
        amount: Time or number of faces as text, or "".
        confidence: Mean confidence, 0..1, or None.
    """

    channel: int
    label: str
    share: float
    offset: float
    width: float
    amount: str = ""
    confidence: float | None = None
    picture: str = ""
    image: str = ""


def share_rows(shares: Mapping[str, float], labels: Sequence[str]) -> list[ShareRow]:
    """Return the parts of a stacked bar in the order of the page's labels, without empty ones."""
    rows, offset = [], 0.0
    for channel, share in enumerate(on_page(dict(shares), labels)):
        if share > 0:
            rows.append(ShareRow(channel, shown_label(labels[channel]), share, round(offset, 2), round(100 * share, 2)))
            offset += 100 * share
    return rows


def detail_values(
    recording: Recording, timeline: Timeline, number: int, labels: Sequence[str], limits: Limits, images: Images
) -> dict[str, Any]:
    """Return the values of the template of one recording.

    Args:
        recording: Recording.
        timeline: Its timeline.
        number: Number of the details, from 1.
        labels: Labels of the page.
        limits: Sizes.
        images: Pictures of faces.
    """
    values: dict[str, Any] = {
        "number": number,
        "name": shown_name(recording.name),
        "result": shown_name(recording.result),
        "source": _source(recording),
        "facts": " · ".join(_facts(recording)),
        "remarks": recording.remarks,
        "has_pictures": recording.has_pictures,
        "lanes": [],
        "tracks": [],
        "share_title": "Share of faces per expression" if recording.has_pictures else "Share of time per expression",
        "shares": [_with_amounts(row, recording, labels, images) for row in _rows_of(recording, labels)],
    }
    if recording.tracks:
        values |= _timeline_values(recording, timeline, labels, limits) | _track_values(
            recording, labels, limits, images
        )
    return values


def _source(recording: Recording) -> str:
    source = shown_name(recording.info.source or "")
    return "" if source == shown_name(recording.name) else source


def _facts(recording: Recording) -> list[str]:
    facts = []
    if recording.has_pictures:
        facts.append(f"{recording.frames:,} picture{'' if recording.frames == 1 else 's'}")
        facts.append(f"{recording.faces:,} face{'' if recording.faces == 1 else 's'}")
    else:
        facts.append(clock(recording.duration_s))
        facts.append(f"{recording.track_count:,} track{'' if recording.track_count == 1 else 's'}")
    main = max(shares_of(recording.shares).items(), key=lambda item: item[1], default=None)
    if main is not None:
        facts.append(f"{shown_label(main[0])} {100 * main[1]:.0f} %")
    return facts


def _rows_of(recording: Recording, labels: Sequence[str]) -> list[ShareRow]:
    return share_rows(shares_of(recording.shares), labels)


def _with_amounts(row: ShareRow, recording: Recording, labels: Sequence[str], images: Images) -> ShareRow:
    """Add the time or number of faces of an expression, its confidence, and its most confident picture."""
    label = labels[row.channel]
    total = Share()
    best = None
    for name, share in recording.shares.items():
        if name == label or (label == OTHER_LABEL and name not in labels):
            total.add(share.weight, share.confidence)
            best = share.best
    amount = f"{total.weight:,.0f}" if recording.has_pictures else clock(total.weight, 0.1)
    return ShareRow(
        row.channel, row.label, row.share, row.offset, row.width, amount, total.confidence,
        "" if best is None else shown_name(best.picture or ""), images.labels.get(label, ""),
    )  # fmt: skip


def _timeline_values(recording: Recording, timeline: Timeline, labels: Sequence[str], limits: Limits) -> dict[str, Any]:
    channels = {label: number for number, label in enumerate(labels)}
    other = channels.get(OTHER_LABEL, 0)
    found = [
        {
            "name": lane.track.number,
            "text": f"Track {lane.track.number}: {spoken_shares(shares_of(lane.track.shares), 3)}",
            "paths": sorted((channels.get(label, other), path) for label, path in lane.paths.items()),
        }
        for lane in timeline.lanes(limits.steps)
    ]
    note = "The height is the confidence."
    if len(recording.tracks) > MAX_LANES:
        note = f"The {MAX_LANES} tracks that were in view the longest, of {len(recording.tracks):,}. {note}"
    if not recording.lists_all_frames:
        note += " Frames without a face are estimated from the frame numbers of the result."
    coverage = recording.coverage or 0.0
    return {
        "lanes": found,
        "ticks": ticks(recording),
        "start_s": round(recording.start_s, 3),
        "length_s": round(recording.duration_s, 3),
        "presence": presence_path(recording, PRESENCE_STEPS),
        "presence_text": f"Frames with a face: {100 * coverage:.0f} %",
        "lane_note": f"{note} “Faces” is the share of frames with a face.",
    }


def _track_values(recording: Recording, labels: Sequence[str], limits: Limits, images: Images) -> dict[str, Any]:
    precision = 0.1 if recording.duration_s < TENTHS_BELOW_S else 1.0
    shown = sorted(longest_tracks(recording.tracks, limits.tracks), key=lambda track: track.number)
    note = ""
    if len(shown) < len(recording.tracks):
        note = (
            f"The {len(shown)} tracks that were in view the longest, of {len(recording.tracks):,}; "
            "the summary as CSV has all of them."
        )
    return {"tracks": [_track_row(track, labels, precision, images) for track in shown], "track_note": note}


def _track_row(track: Track, labels: Sequence[str], precision: float, images: Images) -> dict[str, Any]:
    known = track.dominant if track.dominant in labels else OTHER_LABEL
    return {
        "number": track.number,
        "first": clock(track.first_s, precision),
        "last": clock(track.last_s, precision),
        "duration": clock(track.duration_s, precision),
        "channel": labels.index(known) if known in labels else 0,
        "dominant": shown_label(track.dominant),
        "confidence": percent(track.confidence),
        "unknown": percent(track.unknown_share) if UNKNOWN in track.shares else "–",
        "image": images.tracks.get(track.number, ""),
    }


def percent(share: float | None) -> str:
    """Return a share as a percentage.

    >>> percent(0.625), percent(0.004), percent(None)
    ('62 %', '0.4 %', '–')
    """
    if share is None:
        return "–"
    return f"{100 * share:.1f} %" if 0 < share < 0.0095 else f"{100 * share:.0f} %"


def spoken_shares(shares: Mapping[str, float], count: int = 12) -> str:
    """Return the largest shares as text.

    >>> spoken_shares({"sad": 0.25, "happy": 0.75})
    'happy 75 %, sad 25 %'
    """
    ordered = sorted(shares.items(), key=lambda item: -item[1])[:count]
    return ", ".join(f"{shown_label(label)} {percent(share)}" for label, share in ordered)
