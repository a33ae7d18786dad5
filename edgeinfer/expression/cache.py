"""What each face shows: read when it is time, shown steadied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeinfer.expression.classifier import Classifier
from edgeinfer.expression.preprocess import crop_face
from edgeinfer.expression.smoother import Smoother
from edgeinfer.results import Box, Emotion, Face, Image

DOUBTFUL_S, SURE_S = 0.06, 0.125
"""How long an answer holds when its lead over the second is small or large, in seconds."""
CLEAR_LEAD = 0.3


@dataclass(slots=True)
class _Answer:
    raw: Emotion
    read_s: float
    holds_s: float


class ExpressionCache:
    """Asks the classifier about those faces whose last answer is too old, all in one batch."""

    def __init__(self, classifier: Classifier, *, unknown_below: float = 0.0) -> None:
        """Start without any answer."""
        self._classifier = classifier
        self._smoother = Smoother(classifier.labels, unknown_below=unknown_below)
        self._answers: dict[int, _Answer] = {}

    def read(self, image: Image, seen: Sequence[tuple[int, Box]], now_s: float) -> tuple[Face, ...]:
        """Faces with their expressions, from the lowest number to the highest."""
        due = [(number, box) for number, box in seen if self._due(number, now_s)]
        crops = [crop_face(image, box.xywh, self._classifier.margin) for _, box in due]
        for (number, _), raw in zip(due, self._classifier.classify(crops), strict=True):
            first, second = sorted(raw.probabilities.values(), reverse=True)[:2]
            self._answers[number] = _Answer(raw, now_s, SURE_S if first - second > CLEAR_LEAD else DOUBTFUL_S)
        faces = []
        for number, box in sorted(seen, key=lambda face: face[0]):
            raw = self._answers[number].raw
            faces.append(Face(number, box, self._smoother.update(number, raw, now_s), raw))
        return tuple(faces)

    def keep(self, alive: frozenset[int]) -> None:
        """Forget everyone else."""
        self._smoother.keep(alive)
        for number in [n for n in self._answers if n not in alive]:
            del self._answers[number]

    def _due(self, number: int, now_s: float) -> bool:
        answer = self._answers.get(number)
        return answer is None or not 0 <= now_s - answer.read_s < answer.holds_s
