"""Value types."""

from __future__ import annotations

import dataclasses

import pytest

from edgeinfer import LABELS, Box


def test_labels_are_in_the_documented_order() -> None:
    assert LABELS == ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear")


def test_box_formats() -> None:
    box = Box(10, 20, 30, 40)
    assert box.xywh == (10, 20, 30, 40)
    assert box.xyxy == (10, 20, 40, 60)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        pytest.param(Box(0, 0, 10, 10), 1.0, id="same"),
        pytest.param(Box(5, 0, 10, 10), 1 / 3, id="half"),
        pytest.param(Box(10, 0, 10, 10), 0.0, id="touching"),
        pytest.param(Box(2, 2, 5, 5), 0.25, id="inside"),
        pytest.param(Box(0, 0, 0, 0), 0.0, id="empty"),
    ],
)
def test_iou(other: Box, expected: float) -> None:
    assert Box(0, 0, 10, 10).iou(other) == pytest.approx(expected)
    assert other.iou(Box(0, 0, 10, 10)) == pytest.approx(expected)


def test_results_are_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Box(0, 0, 1, 1).x = 5  # type: ignore[misc]
