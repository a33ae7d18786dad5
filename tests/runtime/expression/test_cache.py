from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from edgeinfer.expression.cache import ExpressionCache
from edgeinfer.expression.classifier import to_emotion
from edgeinfer.results import Box, Emotion, Image

LABELS = ("neutral", "happy")
FRAME = np.zeros((60, 80, 3), np.uint8)
BOX = Box(10, 10, 20, 20)


class Counting:
    """Says what it is told to and counts the crops."""

    labels, margin = LABELS, 0.0

    def __init__(self, happy: float = 1.0) -> None:
        self.happy, self.batches = happy, list[int]()

    def classify(self, crops: Sequence[Image]) -> list[Emotion]:
        self.batches.append(len(crops))
        return [to_emotion(np.array([1 - self.happy, self.happy]), LABELS) for _ in crops]


@pytest.mark.parametrize(
    ("happy", "fps", "most"), [(1.0, 30, 9), (1.0, 120, 9), (0.55, 30, 17), (1.0, 5, 5)],
    ids=["sure", "fast", "doubtful", "slow"],
)  # fmt: skip
def test_a_face_is_read_by_time_and_more_often_in_doubt(happy: float, fps: int, most: int) -> None:
    classifier = Counting(happy)
    reader = ExpressionCache(classifier)
    for n in range(fps):
        assert len(reader.read(FRAME, [(1, BOX)], n / fps)) == 1
    assert most - 2 <= sum(classifier.batches) <= most


def test_a_new_face_is_read_at_once_and_all_that_are_due_together() -> None:
    classifier = Counting()
    reader = ExpressionCache(classifier)
    reader.read(FRAME, [(2, BOX), (1, BOX)], 0.0)
    faces = reader.read(FRAME, [(1, BOX), (3, BOX), (2, BOX)], 0.03)
    assert [face.track_id for face in faces] == [1, 2, 3]
    assert classifier.batches == [2, 1]


def test_a_real_change_shows_within_0_4_s() -> None:
    classifier = Counting(0.05)
    reader = ExpressionCache(classifier)
    for n in range(40):
        reader.read(FRAME, [(1, BOX)], n / 30)
    classifier.happy = 0.8
    labels = [reader.read(FRAME, [(1, BOX)], (40 + n) / 30)[0].emotion.label for n in range(12)]
    assert labels[-1] == "happy"


def test_the_forgotten_are_read_anew() -> None:
    classifier = Counting(0.0)
    reader = ExpressionCache(classifier)
    reader.read(FRAME, [(1, BOX)], 0.0)
    reader.keep(frozenset())
    classifier.happy = 1.0
    assert reader.read(FRAME, [(1, BOX)], 0.01)[0].emotion.probabilities["happy"] == 1.0
