"""What each face has shown of late: steadied over time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.expression.classifier import to_emotion
from edgeinfer.results import Emotion


@dataclass(slots=True)
class _Mood:
    probabilities: NDArray[np.float64]
    label: int
    seen_s: float
    known: bool = True


class Smoother:
    """Steadies the expression of each track: an exponential mean over time; labels yield to a clear lead only."""

    def __init__(
        self,
        labels: tuple[str, ...],
        *,
        time_constant_s: float = 0.15,
        lead: float = 0.05,
        unknown_below: float = 0.0,
    ) -> None:
        """Start without any track.

        Args:
            labels: the classifier's.
            time_constant_s: after this time an old answer weighs 1/e, in seconds.
            lead: how much likelier another label must be before it takes over, 0..1.
            unknown_below: probability below which a label is shown as "unknown", until it is `lead` above.
        """
        self._unknown_below = unknown_below
        self._labels, self._time_constant_s, self._lead = labels, time_constant_s, lead
        self._moods: dict[int, _Mood] = {}

    def update(self, track_id: int, raw: Emotion, timestamp_s: float) -> Emotion:
        """Add this frame's answer to a track; what the track shows."""
        now = np.array([raw.probabilities[label] for label in self._labels])
        mood = self._moods.get(track_id)
        if mood is None or timestamp_s < mood.seen_s:
            mood = self._moods[track_id] = _Mood(now, int(now.argmax()), timestamp_s)
            return self._doubted(mood, to_emotion(now, self._labels))
        share = 1.0 - math.exp(-(timestamp_s - mood.seen_s) / self._time_constant_s)
        mood.probabilities = mood.probabilities + share * (now - mood.probabilities)
        mood.seen_s = timestamp_s
        best = int(mood.probabilities.argmax())
        if mood.probabilities[best] - mood.probabilities[mood.label] > self._lead:
            mood.label = best
        shown = to_emotion(mood.probabilities, self._labels)
        label = self._labels[mood.label]
        return self._doubted(mood, Emotion(label, shown.probabilities[label], shown.probabilities))

    def _doubted(self, mood: _Mood, shown: Emotion) -> Emotion:
        below = self._unknown_below + (0.0 if mood.known else self._lead)
        doubted = shown.with_threshold(min(below, 1.0) if self._unknown_below else 0.0)
        mood.known = doubted is shown
        return doubted

    def keep(self, alive: frozenset[int]) -> None:
        """Forget every other track."""
        for track_id in [t for t in self._moods if t not in alive]:
            del self._moods[track_id]
