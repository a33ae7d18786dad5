from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeinfer import UsageError
from edgeinfer.results import Frame
from edgeinfer.sources.base import Capture, Turn
from edgeinfer.units import parse_size_wh

CORNERS = np.array([[1, 2], [3, 4], [5, 6]], np.uint8)[:, :, None].repeat(3, axis=2)


@pytest.mark.parametrize(
    ("rotate", "flip", "expected"),
    [
        ("auto", False, [[1, 2], [3, 4], [5, 6]]),
        ("0", True, [[2, 1], [4, 3], [6, 5]]),
        ("90", False, [[5, 3, 1], [6, 4, 2]]),
        ("180", False, [[6, 5], [4, 3], [2, 1]]),
        ("270", False, [[2, 4, 6], [1, 3, 5]]),
        ("90", True, [[1, 3, 5], [2, 4, 6]]),
    ],
)
def test_frames_are_rotated_clockwise_then_mirrored(rotate: Turn, flip: bool, expected: list[list[int]]) -> None:
    turned = Capture(rotate=rotate, flip=flip).turned(Frame(CORNERS, 3, 0.5))
    assert turned.image[:, :, 0].tolist() == expected
    assert (turned.index, turned.timestamp_s) == (3, 0.5)
    assert turned.image.flags.c_contiguous


@pytest.mark.parametrize(
    "invalid",
    [{"size_wh": (0, 480)}, {"size_wh": (640, 20_000)}, {"fps": 0.0}, {"fps": float("nan")}, {"rotate": "45"}],
    ids=str,
)
def test_values_out_of_range_are_rejected(invalid: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Capture(**invalid)


@pytest.mark.parametrize(("text", "size_wh"), [("640x480", (640, 480)), (" 1X2 ", (1, 2))])
def test_frame_size_is_parsed(text: str, size_wh: tuple[int, int]) -> None:
    assert parse_size_wh(text) == size_wh


@pytest.mark.parametrize("text", ["", "640", "640x", "x480", "640*480", "-1x5", "640x480x3"])
def test_malformed_frame_size_is_rejected(text: str) -> None:
    with pytest.raises(UsageError, match=r"invalid size .*: expected WIDTHxHEIGHT"):
        parse_size_wh(text)
