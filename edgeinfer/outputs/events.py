"""Events of tracked faces: a face appeared, changed its expression, or left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from edgeinfer.errors import UsageError
from edgeinfer.results import Face, Result

EventKind = Literal["appeared", "changed", "left"]
LEFT_AFTER_S = 1.0
"""Default time out of view after which a face has left, in seconds; a track survives shorter occlusions."""
HOLD_S = 0.3
"""Time for which a new label must last before a run reports the change, in seconds."""


@dataclass(frozen=True, slots=True)
class Event:
    """A change in the state of one tracked face.

    Attributes:
        kind: "appeared", "changed" (its label) or "left".
        track_id: track id of the face.
        timestamp_s: time of the event in seconds, in the frame time base; for "left" the time of the last sighting.
        label: expression label from this event on; for "left" the last label.
        confidence: probability of `label`, 0..1.
        previous: label before a change, None for the other kinds.
        present_s: seconds since the face appeared.

    Examples:
        >>> from edgeinfer import Event
        >>> event = Event("changed", track_id=1, timestamp_s=4.2, label="happy", confidence=0.93, previous="neutral",
        ...               present_s=1.5)
        >>> f"{event.previous} -> {event.label}"
        'neutral -> happy'
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
    """Time in view of one face.

    Attributes:
        face: the face in the latest frame that shows it.
        reported_label: label of the latest event.
        began_s: time of the first sighting, in seconds.
        last_seen_s: time of the latest sighting, in seconds.
        label_since_s: time since which the current label has been unchanged, in seconds.
    """

    face: Face
    reported_label: str
    began_s: float
    last_seen_s: float
    label_since_s: float


class EventDetector:
    """Detector of events in a sequence of results, one result at a time.

    Examples:
        >>> from edgeinfer import Box, Emotion, EventDetector, Face, Result
        >>> happy = Emotion("happy", 0.9, {"neutral": 0.1, "happy": 0.9})
        >>> face = Face(track_id=1, box=Box(0, 0, 80, 80), emotion=happy, raw=happy)
        >>> detector = EventDetector(left_after_s=1.0)
        >>> [(event.kind, event.label) for event in detector.update(Result((face,), timestamp_s=0.0))]
        [('appeared', 'happy')]
        >>> detector.update(Result((), timestamp_s=0.5))
        []
        >>> [(event.kind, event.timestamp_s) for event in detector.update(Result((), timestamp_s=2.0))]
        [('left', 0.0)]
    """

    def __init__(self, *, hold_s: float = 0.0, left_after_s: float = LEFT_AFTER_S) -> None:
        """Initialize a detector without faces.

        Args:
            hold_s: time for which a new label must last before the change is reported, in seconds, 0 or more.
            left_after_s: time out of view after which a face has left, in seconds, 0 or more.

        Raises:
            UsageError: A time is negative.
        """
        if hold_s < 0 or left_after_s < 0:
            raise UsageError(
                f"invalid event times: hold_s is {hold_s:g} and left_after_s is {left_after_s:g}, expected 0 or more"
            )
        self._hold_s, self._left_after_s = hold_s, left_after_s
        self._visits: dict[int, _Visit] = {}

    def update(self, result: Result) -> list[Event]:
        """Return the events since the previous result.

        Args:
            result: the next result of a tracking pipeline; `timestamp_s` must not decrease.

        Returns:
            The "left" events, earliest last sighting first, then "appeared" and "changed" in the order of
            `result.faces`; often empty.
        """
        now_s = result.timestamp_s
        found = self._remove_unseen(now_s - self._left_after_s)
        for face in result.faces:
            visit = self._visits.get(face.track_id)
            label = face.emotion.label
            if visit is None:
                self._visits[face.track_id] = visit = _Visit(face, label, now_s, now_s, now_s)
                found.append(_event("appeared", visit, now_s, None))
                continue
            if label != visit.face.emotion.label:
                visit.label_since_s = now_s
            visit.face, visit.last_seen_s = face, now_s
            if label != visit.reported_label and now_s - visit.label_since_s >= self._hold_s:
                previous, visit.reported_label = visit.reported_label, label
                found.append(_event("changed", visit, now_s, previous))
        return found

    def close(self) -> list[Event]:
        """Remove all faces and return their "left" events.

        Returns:
            One event per face still in view, earliest last sighting first.
        """
        return self._remove_unseen(float("inf"))

    def _remove_unseen(self, since_s: float) -> list[Event]:
        """Remove faces last seen before a time and return their "left" events, earliest first."""
        gone = sorted((v for v in self._visits.values() if v.last_seen_s < since_s), key=lambda v: v.last_seen_s)
        for visit in gone:
            del self._visits[visit.face.track_id]
        return [_event("left", visit, visit.last_seen_s, None) for visit in gone]


def events(results: Iterable[Result], *, hold_s: float = 0.0, left_after_s: float = LEFT_AFTER_S) -> Iterator[Event]:
    """Yield the events of a sequence of results; after the last result every remaining face leaves.

    Args:
        results: results of a tracking pipeline in chronological order.
        hold_s: time for which a new label must last before the change is reported, in seconds, 0 or more.
        left_after_s: time out of view after which a face has left, in seconds, 0 or more.

    Yields:
        Events in chronological order of detection.

    Raises:
        UsageError: A time is negative.

    Examples:
        >>> from edgeinfer import Box, Emotion, Face, Result, events
        >>> def result(label: str, timestamp_s: float) -> Result:
        ...     emotion = Emotion(label, 0.9, {label: 0.9})
        ...     return Result((Face(1, Box(0, 0, 80, 80), emotion=emotion, raw=emotion),), timestamp_s)
        >>> results = [result("neutral", 0.0), result("neutral", 0.5), result("happy", 1.0)]
        >>> [(event.kind, event.label, event.timestamp_s) for event in events(results)]
        [('appeared', 'neutral', 0.0), ('changed', 'happy', 1.0), ('left', 'happy', 1.0)]
    """
    detector = EventDetector(hold_s=hold_s, left_after_s=left_after_s)
    for result in results:
        yield from detector.update(result)
    yield from detector.close()


def event_payload(event: Event, source: str) -> dict[str, Any]:
    """Return a newly detected event as a JSON object for webhooks and MQTT.

    Args:
        event: the event.
        source: name of the run's source.

    Returns:
        "type" (the kind), "source", "at" (current UTC time, ISO 8601), and the event's other attributes by name.
    """
    values = {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(event).items()}
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"type": values.pop("kind"), "source": source, "at": at, **values}


def _event(kind: EventKind, visit: _Visit, at_s: float, previous: str | None) -> Event:
    label, emotion = visit.reported_label, visit.face.emotion
    confidence = emotion.probabilities.get(label, emotion.confidence)
    return Event(kind, visit.face.track_id, at_s, label, confidence, previous, at_s - visit.began_s)
