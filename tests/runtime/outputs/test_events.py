from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from edgeinfer import Box, Event, Face, Result, UsageError, events
from edgeinfer.expression.classifier import to_emotion

LABELS = ("neutral", "happy")


def make_face(track_id: int, label: str, confidence: float = 0.9) -> Face:
    happy = confidence if label == "happy" else 1 - confidence
    emotion = to_emotion(np.array([1 - happy, happy]), LABELS)
    return Face(track_id, Box(0, 0, 9, 9), emotion, emotion)


def make_results(*frames: Iterable[Face], fps: float = 10) -> list[Result]:
    return [Result(tuple(faces), index / fps) for index, faces in enumerate(frames)]


def summarize(found: Iterable[Event]) -> list[tuple[str, int, float, str]]:
    return [(event.kind, event.track_id, round(event.timestamp_s, 3), event.label) for event in found]


def test_face_appears_changes_and_leaves() -> None:
    frames = [
        [],
        [make_face(4, "neutral")],
        [make_face(4, "happy", 0.8)],
        [make_face(4, "happy")],
        *([[]] * 15),
    ]
    found = list(events(make_results(*frames)))
    assert summarize(found) == [
        ("appeared", 4, 0.1, "neutral"),
        ("changed", 4, 0.2, "happy"),
        ("left", 4, 0.3, "happy"),
    ]
    assert found[1].previous == "neutral"
    assert found[1].confidence == pytest.approx(0.8)
    assert [round(event.present_s, 3) for event in found] == [0, 0.1, 0.2]


def test_briefly_hidden_face_does_not_leave() -> None:
    frames = [[make_face(1, "happy")], *([[]] * 9), [make_face(1, "happy")]]
    assert summarize(events(make_results(*frames))) == [("appeared", 1, 0.0, "happy"), ("left", 1, 1.0, "happy")]


def test_faces_have_independent_events() -> None:
    frames = [
        [make_face(1, "happy"), make_face(2, "neutral")],
        [make_face(2, "happy")],
        *([[make_face(2, "happy")]] * 12),
    ]
    assert summarize(events(make_results(*frames))) == [
        ("appeared", 1, 0.0, "happy"),
        ("appeared", 2, 0.0, "neutral"),
        ("changed", 2, 0.1, "happy"),
        ("left", 1, 0.0, "happy"),
        ("left", 2, 1.3, "happy"),
    ]


def test_change_shorter_than_the_hold_time_is_not_reported() -> None:
    labels = ["neutral"] * 3 + ["happy"] * 2 + ["neutral"] * 3 + ["happy"] * 5
    found = summarize(events(make_results(*([make_face(1, label)] for label in labels)), hold_s=0.3))
    assert found == [("appeared", 1, 0.0, "neutral"), ("changed", 1, 1.1, "happy"), ("left", 1, 1.2, "happy")]


@pytest.mark.parametrize("options", [{"hold_s": -1.0}, {"left_after_s": -0.1}], ids=str)
def test_negative_times_are_rejected(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="expected 0 or more"):
        list(events([], **options))
