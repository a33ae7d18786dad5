from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgeinfer.expression.classifier import to_emotion
from edgeinfer.expression.smoother import Smoother
from edgeinfer.results import Emotion

LABELS = ("neutral", "happy")


def emotion(happy: float) -> Emotion:
    return to_emotion(np.array([1 - happy, happy]), LABELS)


def test_smoothing_is_independent_of_the_frame_rate() -> None:
    reported = []
    for fps in (10, 60):
        smoother = Smoother(LABELS, time_constant_s=0.2)
        smoother.update(1, emotion(0.0), 0.0)
        for frame in range(1, fps // 2 + 1):
            last = smoother.update(1, emotion(1.0), frame / fps)
        reported.append(last.probabilities["happy"])
    assert reported[0] == pytest.approx(reported[1])
    assert reported[0] == pytest.approx(1 - np.exp(-0.5 / 0.2))


def test_label_flicker_is_reduced_and_a_change_is_reported_within_0_4_s() -> None:
    smoother, random = Smoother(LABELS), np.random.default_rng(0)
    raw, smoothed = [], []
    for frame in range(300):
        latest = emotion(float(np.clip(0.47 + 0.2 * random.standard_normal(), 0, 1)))
        raw.append(latest.label)
        smoothed.append(smoother.update(1, latest, frame / 30).label)
    changes = [sum(a != b for a, b in itertools.pairwise(labels)) for labels in (raw, smoothed)]
    assert changes[0] >= 30
    assert changes[1] * 3 <= changes[0]
    smoother.update(1, emotion(0.02), 10.0)
    smoother.update(1, emotion(0.02), 12.0)
    frames = next(n for n in range(1, 30) if smoother.update(1, emotion(0.98), 12 + n / 30).label == "happy")
    assert frames / 30 <= 0.4


def test_tracks_are_independent_and_can_be_discarded() -> None:
    smoother = Smoother(LABELS)
    smoother.update(1, emotion(1.0), 0.0)
    assert smoother.update(2, emotion(0.0), 0.0).label == "neutral"
    smoother.keep(frozenset({2}))
    assert smoother.update(1, emotion(0.0), 0.01).probabilities["happy"] == 0.0


def test_label_below_the_threshold_is_unknown_until_it_exceeds_the_hysteresis() -> None:
    smoother, reported = Smoother(LABELS, unknown_below=0.7, time_constant_s=1e-9), []
    for frame, happy in enumerate((0.65, 0.72, 0.76, 0.72, 0.69, 0.2)):
        latest = smoother.update(1, emotion(happy), frame / 30)
        reported.append(latest.label)
        assert latest.confidence == pytest.approx(max(latest.probabilities.values()))
    assert reported == ["unknown", "unknown", "happy", "happy", "unknown", "neutral"]


def test_reading_after_a_gap_is_reported_without_earlier_ones() -> None:
    smoother = Smoother(LABELS)
    smoother.update(1, emotion(1.0), 0.0)
    latest = smoother.update(1, emotion(0.48), 2.0)  # within the hysteresis
    assert (latest.label, latest.probabilities["happy"]) == ("neutral", 0.48)
