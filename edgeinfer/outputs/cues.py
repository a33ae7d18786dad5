"""Cues of subtitles: intervals in which the persons in view keep their expressions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from edgeinfer.results import UNKNOWN, Result

HOLD_S = 0.5
"""Shortest time for which a label must last to be shown, in seconds."""
GAP_S = 0.5
"""Longest gap that is bridged, in seconds: a face out of view, and labels that last less than `HOLD_S`."""
MIN_CUE_S = 0.25
"""Time from the start of a cue during which further changes are merged into it, in seconds."""
MAX_CUE_S = 10.0
"""Longest cue in seconds; a longer one is divided, so that a killed run loses little."""
MAX_FRAME_S = 5.0
"""Longest time for which a frame stays in view, in seconds; a later one follows a gap."""
FIRST_FRAME_S = 1 / 30
"""Assumed duration of a single frame, in seconds."""
_LAG_S = HOLD_S + GAP_S
"""Delay after which labels are final, in seconds."""


class Cue(NamedTuple):
    """Expressions in one interval.

    Attributes:
        start_s: Start in seconds.
        end_s: End in seconds, later than the start.
        labels: Label by track, in ascending order of the tracks.
    """

    start_s: float
    end_s: float
    labels: Mapping[int, str]


class _Change(NamedTuple):
    """Change of a track's label at a given time; the label is None if it has none."""

    at_s: float
    track: int
    label: str | None


@dataclass(slots=True)
class _Track:
    """Labels of one track.

    Attributes:
        label: Label in view, or None.
        since_s: Time since which it has been in view.
        shown: Label of the cues, or None.
        until_s: Time at which `shown` was last replaced in view.
    """

    label: str | None = None
    since_s: float = 0.0
    shown: str | None = None
    until_s: float = 0.0

    def update(self, label: str | None, now_s: float) -> Iterator[tuple[float, str | None]]:
        """Yield the changes of the cues' label, each with its time.

        Args:
            label: Label in view from now on, or None.
            now_s: Time in seconds.
        """
        if self.label not in (None, self.shown) and now_s - self.since_s >= HOLD_S:
            self.shown = self.label
            yield self.since_s, self.shown
        is_new = label != self.label
        if is_new:
            if self.label == self.shown:
                self.until_s = now_s
            self.label, self.since_s = label, now_s
        if self.shown is not None and (is_new or label != self.shown):
            next_s = now_s if label is None else self.since_s
            if next_s - self.until_s > GAP_S:
                self.shown = None
                yield self.until_s, None


class CueBuilder:
    """Cues of successive results.

    A label is shown if it lasts for `HOLD_S`. A gap of at most `GAP_S` belongs to the label before it: a face that is
    out of view for a moment keeps its cue, and so does one whose label flickers. Changes of several faces within
    `MIN_CUE_S` are shown together. "unknown" is not shown.

    Examples:
        >>> from edgeinfer import Box, Emotion, Face
        >>> def result(label: str, time_s: float) -> Result:
        ...     emotion = Emotion(label, 0.9, {label: 0.9})
        ...     return Result((Face(1, Box(0, 0, 80, 80), emotion, emotion),), time_s)
        >>> cues = CueBuilder()
        >>> [cues.update(result("happy" if number < 12 else "sad", number / 4)) for number in range(20)][-1]
        []
        >>> cues.close()
        [Cue(start_s=3.0, end_s=5.0, labels={1: 'sad'})]
    """

    def __init__(self) -> None:
        """Create a builder without faces."""
        self._tracks: dict[int, _Track] = {}
        self._changes: list[_Change] = []
        self._labels: dict[int, str] = {}
        self._start_s = self._last_s = -math.inf
        self._step_s = FIRST_FRAME_S

    def update(self, result: Result) -> list[Cue]:
        """Return the cues that have ended, in order of time; the latest second can still change.

        Args:
            result: Next result; a step back in time is ignored.
        """
        now_s = result.timestamp_s
        if now_s < self._last_s:
            return []
        if 0 < now_s - self._last_s < math.inf:
            self._step_s = min(now_s - self._last_s, MAX_FRAME_S)
        if now_s - self._last_s > MAX_FRAME_S:
            self._show({}, self._last_s + MAX_FRAME_S)
        self._last_s = now_s
        labels = ((face.track_id, face.emotion.label) for face in result.faces)
        self._show({track: label for track, label in labels if label != UNKNOWN}, now_s)
        return list(self._cues(now_s - _LAG_S))

    def close(self) -> list[Cue]:
        """Return the remaining cues, which end with the last frame."""
        if self._tracks:
            end_s = self._last_s + self._step_s
            self._show({}, end_s)
            self._show({}, end_s + 2 * GAP_S)
        return list(self._cues(math.inf))

    def _show(self, labels: Mapping[int, str], now_s: float) -> None:
        """Add the labels in view from a time on."""
        for number in {**self._tracks, **labels}:
            track = self._tracks.setdefault(number, _Track())
            changes = track.update(labels.get(number), now_s)
            self._changes += [_Change(at_s, number, label) for at_s, label in changes]
            if track.shown is None and track.label is None:
                del self._tracks[number]

    def _cues(self, until_s: float) -> Iterator[Cue]:
        """Yield the cues that end before a time, from the changes up to it."""
        self._changes.sort(key=lambda change: change.at_s)
        while self._changes and self._changes[0].at_s <= until_s:
            change = self._changes.pop(0)
            yield from self._cues_before(change.at_s)
            if change.at_s - self._start_s >= MIN_CUE_S:
                if self._labels:
                    yield self._cue(change.at_s)
                self._start_s = change.at_s
            self._labels.pop(change.track, None)
            if change.label is not None:
                self._labels[change.track] = change.label
        if until_s < math.inf:
            yield from self._cues_before(until_s)

    def _cues_before(self, end_s: float) -> Iterator[Cue]:
        """Yield the cues of full length."""
        while self._labels and end_s - self._start_s >= MAX_CUE_S:
            yield self._cue(self._start_s + MAX_CUE_S)
            self._start_s += MAX_CUE_S

    def _cue(self, end_s: float) -> Cue:
        return Cue(self._start_s, end_s, dict(sorted(self._labels.items())))
