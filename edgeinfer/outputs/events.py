"""What happens among the faces of a run: one appeared, changed its expression, left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from edgeinfer.errors import UsageError
from edgeinfer.results import Face, Result

EventKind = Literal["appeared", "changed", "left"]
LEFT_AFTER_S = 1.0
"""A face that is hidden for less keeps its number, so it has not left."""
HOLD_S = 0.3
"""How long a changed label must last before other programs are told."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to one face.

    Attributes:
        kind: "appeared", "changed" (its label), or "left".
        track_id: of the face.
        timestamp_s: when, in seconds on the clock of the frames; for "left" the last time that it was seen.
        label: that it shows from then on; for "left" the last one.
        confidence: probability of `label`, 0..1.
        previous: the label before a change, else None.
        present_s: how long it had been in view, in seconds.
    """

    kind: EventKind
    track_id: int
    timestamp_s: float
    label: str
    confidence: float
    previous: str | None
    present_s: float


@dataclass(slots=True)
class _Visit:
    face: Face
    told: str
    began_s: float
    seen_s: float
    turned_s: float


class EventDetector:
    """Turns results into events, one result at a time."""

    def __init__(self, *, hold_s: float = 0.0, left_after_s: float = LEFT_AFTER_S) -> None:
        """Start without any face.

        Args:
            hold_s: how long another label must last before the change is told, in seconds, 0 or more.
            left_after_s: how long a face must be out of view before it has left, in seconds, 0 or more.

        Raises:
            UsageError: a time is below 0.
        """
        if hold_s < 0 or left_after_s < 0:
            raise UsageError("the times of events are 0 seconds or more")
        self._hold_s, self._left_after_s = hold_s, left_after_s
        self._visits: dict[int, _Visit] = {}

    def update(self, result: Result) -> list[Event]:
        """What happened up to this frame, in the order in which it did."""
        now_s = result.timestamp_s
        happened = self._leave(now_s - self._left_after_s)
        for face in result.faces:
            visit = self._visits.get(face.track_id)
            label = face.emotion.label
            if visit is None:
                self._visits[face.track_id] = visit = _Visit(face, label, now_s, now_s, now_s)
                happened.append(_event("appeared", visit, now_s, None))
                continue
            if label != visit.face.emotion.label:
                visit.turned_s = now_s
            visit.face, visit.seen_s = face, now_s
            if label != visit.told and now_s - visit.turned_s >= self._hold_s:
                before, visit.told = visit.told, label
                happened.append(_event("changed", visit, now_s, before))
        return happened

    def close(self) -> list[Event]:
        """Everyone who is still there leaves."""
        return self._leave(float("inf"))

    def _leave(self, until_s: float) -> list[Event]:
        """Those leave who were last seen before a time, the first one first."""
        gone = sorted((visit for visit in self._visits.values() if visit.seen_s < until_s), key=lambda v: v.seen_s)
        for visit in gone:
            del self._visits[visit.face.track_id]
        return [_event("left", visit, visit.seen_s, None) for visit in gone]


def events(results: Iterable[Result], *, hold_s: float = 0.0, left_after_s: float = LEFT_AFTER_S) -> Iterator[Event]:
    """What happens in a row of results; at their end everyone leaves.

    Args:
        results: of a pipeline that tracks, in order of time.
        hold_s: how long another label must last before the change is told, in seconds.
        left_after_s: how long a face must be out of view before it has left, in seconds.

    Raises:
        UsageError: a time is below 0.
    """
    detector = EventDetector(hold_s=hold_s, left_after_s=left_after_s)
    for result in results:
        yield from detector.update(result)
    yield from detector.close()


def message(event: Event, source: str) -> dict[str, Any]:
    """An event as other programs are told of it: a JSON object.

    Args:
        event: what happened just now.
        source: name of what the run reads.

    Returns:
        "type" (the kind), "source", "at" (UTC, ISO 8601), and the event's other attributes under their names.
    """
    told = {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(event).items()}
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"type": told.pop("kind"), "source": source, "at": at, **told}


def _event(kind: EventKind, visit: _Visit, at_s: float, previous: str | None) -> Event:
    shown = visit.face.emotion
    confidence = shown.probabilities.get(visit.told, shown.confidence)
    return Event(kind, visit.face.track_id, at_s, visit.told, confidence, previous, at_s - visit.began_s)
