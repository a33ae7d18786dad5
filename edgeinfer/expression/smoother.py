"""Temporal smoothing of expressions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.expression.classifier import to_emotion
from edgeinfer.results import Emotion

MAX_GAP_S = 0.9
"""Interval after which the average starts again, in seconds: earlier readings weigh less than 0.3 %, and hysteresis
must not keep their label."""


@dataclass(slots=True)
class _TrackState:
    """Smoothed expression of one track.

    Attributes:
        probabilities: Moving average of the probabilities, (K,).
        label: Index of the current label.
        updated_s: Time of the last update in seconds.
        known: False while the label is reported as "unknown".
    """

    probabilities: NDArray[np.float64]
    label: int
    updated_s: float
    known: bool = True


class Smoother:
    """Exponential moving average of each track's probabilities, with hysteresis between labels."""

    def __init__(
        self,
        labels: tuple[str, ...],
        *,
        time_constant_s: float = 0.15,
        hysteresis: float = 0.05,
        unknown_below: float = 0.0,
    ) -> None:
        """Create a smoother without tracks.

        Args:
            labels: Labels of the classifier.
            time_constant_s: Time after which the weight of a classification has decreased to 1/e, in seconds.
            hysteresis: Difference in probability by which another label must exceed the current one to replace it,
                0..1.
            unknown_below: Confidence threshold below which a label is reported as "unknown", 0..1. A label that is
                unknown stays so until its confidence exceeds the threshold by `hysteresis`.
        """
        self._unknown_below = unknown_below
        self._labels, self._time_constant_s, self._hysteresis = labels, time_constant_s, hysteresis
        self._tracks: dict[int, _TrackState] = {}

    def update(self, track_id: int, raw: Emotion, timestamp_s: float) -> Emotion:
        """Add a classification to a track and return its smoothed expression."""
        latest = np.array([raw.probabilities[label] for label in self._labels])
        state = self._tracks.get(track_id)
        if state is None or not 0 <= timestamp_s - state.updated_s <= MAX_GAP_S:
            state = self._tracks[track_id] = _TrackState(latest, int(latest.argmax()), timestamp_s)
            return self._apply_threshold(state, to_emotion(latest, self._labels))
        weight = 1.0 - math.exp(-(timestamp_s - state.updated_s) / self._time_constant_s)
        state.probabilities = state.probabilities + weight * (latest - state.probabilities)
        state.updated_s = timestamp_s
        best = int(state.probabilities.argmax())
        if state.probabilities[best] - state.probabilities[state.label] > self._hysteresis:
            state.label = best
        smoothed = to_emotion(state.probabilities, self._labels)
        label = self._labels[state.label]
        return self._apply_threshold(state, Emotion(label, smoothed.probabilities[label], smoothed.probabilities))

    def _apply_threshold(self, state: _TrackState, emotion: Emotion) -> Emotion:
        """Replace the label with "unknown" if the confidence is below the threshold."""
        threshold = self._unknown_below + (0.0 if state.known else self._hysteresis)
        reported = emotion.with_threshold(min(threshold, 1.0) if self._unknown_below else 0.0)
        state.known = reported is emotion
        return reported

    def keep(self, track_ids: frozenset[int]) -> None:
        """Discard all tracks except those given."""
        for track_id in [t for t in self._tracks if t not in track_ids]:
            del self._tracks[track_id]
