"""Timelines of tracks as SVG paths, with a bounded number of steps.

A run of one expression is an area whose height is the confidence. All runs of one expression of a track form one path,
in which a step takes 6 to 8 bytes: a charting library would store the same steps as JSON, and needs a script of 0.2 to
4.6 MB besides (docs/report.md has the sizes).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from edgeinfer.report.bins import CHANNELS, MAX_BINS, TimeGrid, merged
from edgeinfer.report.recording import Recording, Track

WIDTH = 1000
"""Width of a timeline in units of its coordinates."""
HEIGHT = 20
"""Height of a lane in units of its coordinates; a unit is 5 % of confidence."""
MAX_LANES = 30
"""Number of tracks in a timeline: those that were in view the longest."""
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
"""Intervals of the time axis in seconds; longer ones are multiples of a day."""
MAX_TICKS = 8
CELLS_PER_STEP = 4
"""Assumed number of intervals in a step, from which the search for the right coarseness starts."""


@dataclass(frozen=True, slots=True)
class Lane:
    """Timeline of one track.

    Attributes:
        track: Its track.
        paths: SVG path of each label.
    """

    track: Track
    paths: dict[str, str]


@dataclass(frozen=True, slots=True)
class Tick:
    """Tick of the time axis.

    Attributes:
        percent: Position from 0 to 100.
        text: Time as m:ss or h:mm:ss.
    """

    percent: float
    text: str


class _Step(NamedTuple):
    """Part of a lane with one label and one height; times in units of the coordinates."""

    start: int
    end: int
    label: str
    height: int


def longest_tracks(tracks: Sequence[Track], count: int) -> list[Track]:
    """Return the tracks that were in view the longest, in the order of their first frame."""
    longest = sorted(tracks, key=lambda track: -track.seen_s)[:count]
    return sorted(longest, key=lambda track: (track.first_s, track.number))


def compact(recording: Recording) -> None:
    """Discard what is finer than a timeline, and the intervals of tracks that have no lane, to save memory."""
    recording.grid.width_s *= _factor(recording, WIDTH)
    recording.presence.fit(recording.grid)
    shown = {track.number for track in longest_tracks(recording.tracks, MAX_LANES)}
    for track in recording.tracks:
        track.times.fit(recording.grid)
        if track.number not in shown:
            track.times.cells.clear()


class Timeline:
    """Lanes of a recording, which become coarser on request.

    Attributes:
        tracks: Tracks with a lane.
    """

    def __init__(self, recording: Recording) -> None:
        """Select the tracks."""
        self.tracks = longest_tracks(recording.tracks, MAX_LANES)
        self._recording = recording
        self._factor = _factor(recording, WIDTH)
        self._cells = [merged(track.times.cells, self._factor) for track in self.tracks]

    def lanes(self, max_steps: int) -> list[Lane]:
        """Return the lanes, as fine as a number of steps allows, but not finer than in an earlier call.

        Args:
            max_steps: Maximum number of steps of all lanes together; each lane has at least one.
        """
        while sum(map(len, self._cells)) > CELLS_PER_STEP * max(1, max_steps) and self._factor < MAX_BINS:
            self._coarsen()
        while True:
            steps = [list(_steps(self._recording, cells, self._factor)) for cells in self._cells]
            if sum(map(len, steps)) <= max(max_steps, len(steps)) or self._factor >= MAX_BINS:
                return [Lane(track, _paths(parts)) for track, parts in zip(self.tracks, steps, strict=True)]
            self._coarsen()

    def _coarsen(self) -> None:
        self._cells = [merged(cells, 2) for cells in self._cells]
        self._factor *= 2


def presence_path(recording: Recording, max_steps: int) -> str:
    """Return the SVG path of the share of frames with a face per interval; intervals without frames are empty."""
    grid, factor = recording.grid, _factor(recording, min(WIDTH, max_steps))
    sums, steps = merged(recording.presence.cells, factor), []
    for number in sorted({key // CHANNELS for key in sums}):
        present, absent = (sums.get(CHANNELS * number + channel, [0.0])[0] for channel in (0, 1))
        start_s, end_s = _span(grid, number, factor)
        span_s = min(end_s, recording.end_s) - max(start_s, recording.start_s)
        total = present + absent if recording.lists_all_frames else span_s
        share = min(1.0, present / total) if total > 0 else 0.0
        steps.append(_Step(*_units(recording, start_s, end_s), "", round(HEIGHT * share)))
    return _paths(_joined(steps)).get("", "")


def ticks(recording: Recording) -> list[Tick]:
    """Return the ticks of the time axis, at round times."""
    duration_s = recording.duration_s
    if duration_s <= 0:
        return []
    interval = next((each for each in TICKS if duration_s / each <= MAX_TICKS), 0.0)
    if not interval:
        interval = 86_400 * -(-duration_s // (86_400 * MAX_TICKS))
    first = -(-(recording.start_s - 1e-9) // interval)
    found = []
    for number in range(MAX_TICKS + 2):
        time_s = (first + number) * interval
        if time_s <= recording.end_s + 1e-9:
            found.append(Tick(round(100 * (time_s - recording.start_s) / duration_s, 2), clock(time_s, interval)))
    return found


def clock(time_s: float, precision_s: float = 1.0) -> str:
    """Return a time as m:ss or h:mm:ss, with tenths if the precision is below a second.

    >>> clock(75), clock(3661), clock(1.25, 0.1), clock(-5)
    ('1:15', '1:01:01', '0:01.2', '-0:05')
    """
    sign = "-" if time_s < 0 else ""
    tenths = round(abs(time_s) * 10) if precision_s < 1 else round(abs(time_s)) * 10
    minutes, tenth_seconds = divmod(tenths, 600)
    seconds, tenth = divmod(tenth_seconds, 10)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02}" if hours else str(minutes)
    return f"{sign}{start}:{seconds:02}{f'.{tenth}' if precision_s < 1 else ''}"


def _steps(recording: Recording, cells: dict[int, list[float]], factor: int) -> Iterator[_Step]:
    """Yield the steps of a lane: in each interval, the label with the longest time."""
    longest: dict[int, tuple[float, float, int]] = {}
    for key, (seconds, product) in cells.items():
        number, channel = divmod(key, CHANNELS)
        if number not in longest or seconds > longest[number][0]:
            longest[number] = (seconds, product / seconds if seconds > 0 else 0.0, channel)
    found = []
    for number in sorted(longest):
        _, confidence, channel = longest[number]
        start, end = _units(recording, *_span(recording.grid, number, factor))
        height = max(1, min(HEIGHT, round(HEIGHT * confidence)))
        found.append(_Step(start, end, recording.labels[channel], height))
    return _joined(found)


def _factor(recording: Recording, max_steps: int) -> int:
    """Return the power of two by which intervals are joined, so that a recording has at most a number of them."""
    factor = 1
    while recording.grid.width_s * factor * max_steps < recording.duration_s:
        factor *= 2
    return factor


def _span(grid: TimeGrid, number: int, factor: int) -> tuple[float, float]:
    """Return start and end of an interval in seconds."""
    width_s = grid.width_s * factor
    return grid.origin_s + number * width_s, grid.origin_s + (number + 1) * width_s


def _units(recording: Recording, start_s: float, end_s: float) -> tuple[int, int]:
    """Return a span in units of the coordinates, at least one unit wide."""
    scale = WIDTH / recording.duration_s if recording.duration_s > 0 else 0.0
    start = min(WIDTH - 1, max(0, round((start_s - recording.start_s) * scale)))
    return start, max(start + 1, min(WIDTH, round((end_s - recording.start_s) * scale)))


def _joined(steps: Iterable[_Step]) -> Iterator[_Step]:
    """Join successive steps with the same label and height, and remove overlaps that rounding creates."""
    current: _Step | None = None
    for step in steps:
        if current is None:
            current = step
            continue
        if step.start <= current.end and (step.label, step.height) == (current.label, current.height):
            current = _Step(current.start, max(current.end, step.end), current.label, current.height)
            continue
        yield current
        current = step if step.start >= current.end else _Step(current.end, step.end, step.label, step.height)
        if current.end <= current.start:
            current = None
    if current is not None:
        yield current


def _paths(steps: Iterable[_Step]) -> dict[str, str]:
    """Return one path per label; the steps of a run share their edges."""
    paths: dict[str, list[str]] = {}
    previous: _Step | None = None
    for step in steps:
        path = paths.setdefault(step.label, [])
        if previous is not None and previous.label == step.label and previous.end == step.start:
            path[-1] = path[-1].removesuffix(f"V{HEIGHT}z")
            path.append(f"V{HEIGHT - step.height}H{step.end}V{HEIGHT}z")
        else:
            path.append(f"M{step.start} {HEIGHT}V{HEIGHT - step.height}H{step.end}V{HEIGHT}z")
        previous = step
    return {label: "".join(path) for label, path in paths.items()}
