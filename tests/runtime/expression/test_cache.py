from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from edgeinfer.expression.cache import ExpressionCache
from edgeinfer.expression.classifier import to_emotion
from edgeinfer.expression.face_classifier import FaceClassifier
from edgeinfer.results import Box, Emotion, Image

LABELS = ("neutral", "happy")
FRAME = np.zeros((60, 80, 3), np.uint8)
BOX = Box(10, 10, 20, 20)


class CountingClassifier:
    """Classifier with a settable probability that records the sizes of its batches."""

    labels, margin = LABELS, 0.0

    def __init__(self, happy: float = 1.0) -> None:
        self.happy, self.batches = happy, list[int]()

    def classify(self, crops: Sequence[Image]) -> list[Emotion]:
        self.batches.append(len(crops))
        return [to_emotion(np.array([1 - self.happy, self.happy]), LABELS) for _ in crops]


@pytest.mark.parametrize(
    ("happy", "fps", "most"), [(1.0, 30, 9), (1.0, 120, 9), (0.55, 30, 17), (1.0, 5, 5)],
    ids=["certain", "fast", "uncertain", "slow"],
)  # fmt: skip
def test_face_is_classified_by_time_and_more_often_if_uncertain(happy: float, fps: int, most: int) -> None:
    classifier = CountingClassifier(happy)
    cache = ExpressionCache(FaceClassifier(classifier))
    for n in range(fps):
        assert len(cache.classify(FRAME, [(1, BOX)], n / fps)) == 1
    assert most - 2 <= sum(classifier.batches) <= most


def test_new_face_is_classified_immediately_and_expired_faces_in_one_batch() -> None:
    classifier = CountingClassifier()
    cache = ExpressionCache(FaceClassifier(classifier))
    cache.classify(FRAME, [(2, BOX), (1, BOX)], 0.0)
    faces = cache.classify(FRAME, [(1, BOX), (3, BOX), (2, BOX)], 0.03)
    assert [face.track_id for face in faces] == [1, 2, 3]
    assert classifier.batches == [2, 1]


def test_change_of_expression_is_reported_within_0_4_s() -> None:
    classifier = CountingClassifier(0.05)
    cache = ExpressionCache(FaceClassifier(classifier))
    for n in range(40):
        cache.classify(FRAME, [(1, BOX)], n / 30)
    classifier.happy = 0.8
    labels = [cache.classify(FRAME, [(1, BOX)], (40 + n) / 30)[0].emotion.label for n in range(12)]
    assert labels[-1] == "happy"


def test_discarded_tracks_are_classified_again() -> None:
    classifier = CountingClassifier(0.0)
    cache = ExpressionCache(FaceClassifier(classifier))
    cache.classify(FRAME, [(1, BOX)], 0.0)
    cache.keep(frozenset())
    classifier.happy = 1.0
    assert cache.classify(FRAME, [(1, BOX)], 0.01)[0].emotion.probabilities["happy"] == 1.0
