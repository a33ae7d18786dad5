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


def test_smoothing_goes_by_time_and_not_by_frames() -> None:
    shown = []
    for fps in (10, 60):
        smoother = Smoother(LABELS, time_constant_s=0.2)
        smoother.update(1, emotion(0.0), 0.0)
        for frame in range(1, fps // 2 + 1):
            last = smoother.update(1, emotion(1.0), frame / fps)
        shown.append(last.probabilities["happy"])
    assert shown[0] == pytest.approx(shown[1])
    assert shown[0] == pytest.approx(1 - np.exp(-0.5 / 0.2))


def test_flicker_is_calmed_and_a_real_change_shows_within_0_4_s() -> None:
    smoother, random = Smoother(LABELS), np.random.default_rng(0)
    raw, calm = [], []
    for frame in range(300):
        answer = emotion(float(np.clip(0.47 + 0.2 * random.standard_normal(), 0, 1)))
        raw.append(answer.label)
        calm.append(smoother.update(1, answer, frame / 30).label)
    changes = [sum(a != b for a, b in itertools.pairwise(seen)) for seen in (raw, calm)]
    assert changes[0] >= 30
    assert changes[1] * 3 <= changes[0]
    smoother.update(1, emotion(0.02), 10.0)
    smoother.update(1, emotion(0.02), 12.0)
    frames = next(n for n in range(1, 30) if smoother.update(1, emotion(0.98), 12 + n / 30).label == "happy")
    assert frames / 30 <= 0.4


def test_tracks_do_not_mix_and_are_forgotten() -> None:
    smoother = Smoother(LABELS)
    smoother.update(1, emotion(1.0), 0.0)
    assert smoother.update(2, emotion(0.0), 0.0).label == "neutral"
    smoother.keep(frozenset({2}))
    assert smoother.update(1, emotion(0.0), 0.01).probabilities["happy"] == 0.0


def test_a_doubtful_face_is_unknown_until_its_label_is_clear() -> None:
    smoother, shown = Smoother(LABELS, unknown_below=0.7, time_constant_s=1e-9), []
    for frame, happy in enumerate((0.65, 0.72, 0.76, 0.72, 0.69, 0.2)):
        answer = smoother.update(1, emotion(happy), frame / 30)
        shown.append(answer.label)
        assert answer.confidence == pytest.approx(max(answer.probabilities.values()))
    assert shown == ["unknown", "unknown", "happy", "happy", "unknown", "neutral"]
