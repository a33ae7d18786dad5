"""Cache of expressions, which avoids classifying every face in every frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeinfer.expression.face_classifier import FaceClassifier
from edgeinfer.expression.smoother import Smoother
from edgeinfer.results import Box, Emotion, Face, Image

UNCERTAIN_MAX_AGE_S = 0.06
"""Reuse period of an uncertain classification, in seconds."""
CERTAIN_MAX_AGE_S = 0.125
"""Reuse period of a certain classification, in seconds."""
CERTAIN_LEAD = 0.3
"""Difference between the two highest probabilities above which a classification is certain."""


@dataclass(slots=True)
class _Entry:
    """Last classification of a track, with its time and its reuse period in seconds."""

    raw: Emotion
    classified_s: float
    max_age_s: float


class ExpressionCache:
    """Last expression of each track. Faces whose entry has expired are classified in one batch."""

    def __init__(self, classifier: FaceClassifier, *, unknown_below: float = 0.0) -> None:
        """Create an empty cache.

        Args:
            classifier: Classifier for expired entries.
            unknown_below: Confidence threshold below which a label is reported as "unknown", 0..1.
        """
        self._classifier = classifier
        self._smoother = Smoother(classifier.labels, unknown_below=unknown_below)
        self._entries: dict[int, _Entry] = {}

    def classify(self, image: Image, located: Sequence[tuple[int, Box]], now_s: float) -> tuple[Face, ...]:
        """Return the faces of a frame with their smoothed expressions, in ascending order of track ids.

        Args:
            image: Frame, (H, W, 3) BGR or (H, W) grey uint8.
            located: Track id and bounding box of each face.
            now_s: Time of the frame in seconds.
        """
        expired = [(track_id, box) for track_id, box in located if self._is_expired(track_id, now_s)]
        raws = self._classifier.classify(image, [box for _, box in expired])
        for (track_id, _), raw in zip(expired, raws, strict=True):
            first, second = sorted(raw.probabilities.values(), reverse=True)[:2]
            max_age_s = CERTAIN_MAX_AGE_S if first - second > CERTAIN_LEAD else UNCERTAIN_MAX_AGE_S
            self._entries[track_id] = _Entry(raw, now_s, max_age_s)
        faces = []
        for track_id, box in sorted(located, key=lambda face: face[0]):
            raw = self._entries[track_id].raw
            faces.append(Face(track_id, box, self._smoother.update(track_id, raw, now_s), raw))
        return tuple(faces)

    def keep(self, track_ids: frozenset[int]) -> None:
        """Discard the entries of all tracks except those given."""
        self._smoother.keep(track_ids)
        for track_id in [t for t in self._entries if t not in track_ids]:
            del self._entries[track_id]

    def _is_expired(self, track_id: int, now_s: float) -> bool:
        entry = self._entries.get(track_id)
        return entry is None or not 0 <= now_s - entry.classified_s < entry.max_age_s
