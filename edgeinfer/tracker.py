"""Who is who from frame to frame, and what each face has shown of late."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.classifier import to_emotion
from edgeinfer.results import Box, Emotion

MIN_OVERLAP = 0.3
"""Least intersection over union of one face in two looks; half of what detection benchmarks ask of one picture."""


@dataclass(slots=True)
class _Track:
    track_id: int
    box: Box
    seen_s: float


class OverlapTracker:
    """Gives a box the identity of the box that it overlaps most, greedily, best pair first (IoU tracker, Bochinski et
    al. 2017, doi:10.1109/AVSS.2017.8078516)."""  # noqa: D205, D209

    def __init__(self, *, keep_s: float = 0.5) -> None:
        """Start without any face.

        Args:
            keep_s: how long a face that is not found keeps its identity, in seconds.
        """
        self._keep_s = keep_s
        self._tracks: list[_Track] = []
        self._ids = itertools.count(1)

    def update(self, boxes: Sequence[Box], timestamp_s: float) -> list[int]:
        """Take the boxes of a look; the identity of each, in their order.

        Args:
            boxes: what the detector found.
            timestamp_s: of the frame, in seconds; a step back in time forgets everyone.
        """
        if any(timestamp_s < track.seen_s for track in self._tracks):
            self._tracks.clear()
        self._tracks = [t for t in self._tracks if timestamp_s - t.seen_s <= self._keep_s]
        pairs = sorted(
            ((t.box.iou(box), -t.track_id, n, t) for t in self._tracks for n, box in enumerate(boxes)),
            key=lambda pair: pair[:3],
            reverse=True,
        )
        taken: dict[int, _Track] = {}
        used: set[int] = set()
        for overlap, _, number, track in pairs:
            if overlap >= MIN_OVERLAP and number not in taken and track.track_id not in used:
                taken[number] = track
                used.add(track.track_id)
        for number, box in enumerate(boxes):
            track = taken.get(number) or _Track(next(self._ids), box, timestamp_s)
            if number not in taken:
                self._tracks.append(track)
                taken[number] = track
            track.box, track.seen_s = box, timestamp_s
        return [taken[number].track_id for number in range(len(boxes))]

    @property
    def alive(self) -> frozenset[int]:
        """Identities that a face in the next frame could still take."""
        return frozenset(track.track_id for track in self._tracks)


@dataclass(slots=True)
class _Mood:
    probabilities: NDArray[np.float64]
    label: int
    seen_s: float


class Smoother:
    """Steadies the expression of each track: an exponential mean over time; labels yield to a clear lead only."""

    def __init__(self, labels: tuple[str, ...], *, time_constant_s: float = 0.15, lead: float = 0.05) -> None:
        """Start without any track.

        Args:
            labels: the classifier's.
            time_constant_s: after this time an old answer weighs 1/e, in seconds.
            lead: how much likelier another label must be before it takes over, 0..1.
        """
        self._labels, self._time_constant_s, self._lead = labels, time_constant_s, lead
        self._moods: dict[int, _Mood] = {}

    def update(self, track_id: int, raw: Emotion, timestamp_s: float) -> Emotion:
        """Add this frame's answer to a track; what the track shows."""
        now = np.array([raw.probabilities[label] for label in self._labels])
        mood = self._moods.get(track_id)
        if mood is None or timestamp_s < mood.seen_s:
            mood = self._moods[track_id] = _Mood(now, int(now.argmax()), timestamp_s)
            return to_emotion(now, self._labels)
        share = 1.0 - math.exp(-(timestamp_s - mood.seen_s) / self._time_constant_s)
        mood.probabilities = mood.probabilities + share * (now - mood.probabilities)
        mood.seen_s = timestamp_s
        best = int(mood.probabilities.argmax())
        if mood.probabilities[best] - mood.probabilities[mood.label] > self._lead:
            mood.label = best
        shown = to_emotion(mood.probabilities, self._labels)
        label = self._labels[mood.label]
        return Emotion(label, shown.probabilities[label], shown.probabilities)

    def keep(self, alive: frozenset[int]) -> None:
        """Forget every other track."""
        for track_id in [t for t in self._moods if t not in alive]:
            del self._moods[track_id]
