from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from edgeinfer import Box, Event, Face, Result, UsageError, events
from edgeinfer.expression.classifier import to_emotion

LABELS = ("neutral", "happy")


def face(number: int, label: str, confidence: float = 0.9) -> Face:
    happy = confidence if label == "happy" else 1 - confidence
    shown = to_emotion(np.array([1 - happy, happy]), LABELS)
    return Face(number, Box(0, 0, 9, 9), shown, shown)


def film(*frames: Iterable[Face], fps: float = 10) -> list[Result]:
    return [Result(tuple(faces), number / fps) for number, faces in enumerate(frames)]


def in_short(found: Iterable[Event]) -> list[tuple[str, int, float, str]]:
    return [(event.kind, event.track_id, round(event.timestamp_s, 3), event.label) for event in found]


def test_a_visit_from_its_beginning_to_its_end() -> None:
    frames = [[], [face(4, "neutral")], [face(4, "happy", 0.8)], [face(4, "happy")], *([[]] * 15)]
    found = list(events(film(*frames)))
    assert in_short(found) == [
        ("appeared", 4, 0.1, "neutral"),
        ("changed", 4, 0.2, "happy"),
        ("left", 4, 0.3, "happy"),
    ]
    assert found[1].previous == "neutral"
    assert found[1].confidence == pytest.approx(0.8)
    assert [round(event.present_s, 3) for event in found] == [0, 0.1, 0.2]


def test_a_face_that_is_hidden_for_a_moment_has_not_left() -> None:
    frames = [[face(1, "happy")], *([[]] * 9), [face(1, "happy")]]
    assert in_short(events(film(*frames))) == [("appeared", 1, 0.0, "happy"), ("left", 1, 1.0, "happy")]


def test_faces_come_and_go_on_their_own() -> None:
    frames = [[face(1, "happy"), face(2, "neutral")], [face(2, "happy")], *([[face(2, "happy")]] * 12)]
    assert in_short(events(film(*frames))) == [
        ("appeared", 1, 0.0, "happy"),
        ("appeared", 2, 0.0, "neutral"),
        ("changed", 2, 0.1, "happy"),
        ("left", 1, 0.0, "happy"),
        ("left", 2, 1.3, "happy"),
    ]


def test_a_change_that_does_not_last_is_not_told() -> None:
    labels = ["neutral"] * 3 + ["happy"] * 2 + ["neutral"] * 3 + ["happy"] * 5
    found = in_short(events(film(*([face(1, label)] for label in labels)), hold_s=0.3))
    assert found == [("appeared", 1, 0.0, "neutral"), ("changed", 1, 1.1, "happy"), ("left", 1, 1.2, "happy")]


@pytest.mark.parametrize("wrong", [{"hold_s": -1.0}, {"left_after_s": -0.1}], ids=str)
def test_times_below_nothing(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        list(events([], **wrong))
