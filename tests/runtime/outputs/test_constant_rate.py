"""Placement of frames in a video with a constant frame rate."""

from __future__ import annotations

import random

import cv2
import numpy as np
import pytest

from edgeinfer.outputs.constant_rate import MAX_GAP_S, ConstantRate, choose_rate, encodable_rate

STEADY_25 = [n / 25 for n in range(8)]
STEADY_5 = [n / 5 for n in range(8)]


@pytest.mark.parametrize(
    ("nominal", "times_s", "live", "rate"),
    [
        (25, STEADY_25, False, 25),
        (24000 / 1001, [n * 1001 / 24000 for n in range(8)], False, 23.976),
        (120, [n / 120 for n in range(8)], False, 120),
        (None, STEADY_25, False, 25),
        (None, [n / 200 for n in range(8)], False, 60),
        (None, [0, 0.067, 0.133, 0.2, 20.0, 20.067, 20.133], False, 15),
        (2.9, [0, 0.04, 0.08, 0.5, 0.54, 1, 1.04], False, 25),
        (240, STEADY_25, False, 50),
        (30, STEADY_5, False, 30),
        (30, STEADY_5, True, 10),
        (30, [n / 8 for n in range(8)], True, 16),
        (30, [n / 20 for n in range(8)], True, 30),
        (None, [0.0, 10.0, 20.0], False, 1),
        (None, [3.0], False, 30),
        (25, [3.0, 3.0], False, 25),
    ],
    ids=[
        "steady", "film", "fast", "unknown", "unknown-fast", "unknown-gap", "average-of-a-variable-rate",
        "nominal-too-high", "slow-file", "slow-camera", "slower-camera", "slightly-slow-camera", "time-lapse",
        "one-frame", "no-step",
    ],
)  # fmt: skip
def test_rate_follows_the_source(nominal: float | None, times_s: list[float], live: bool, rate: float) -> None:
    assert choose_rate(nominal, times_s, live=live) == pytest.approx(rate, rel=3e-3)


@pytest.mark.parametrize("fps", [1.0, 12.0014, 14.985, 23.976, 24000 / 1001, 30.075, 59.9999])
def test_rates_are_those_that_opencv_writes(tmp_path_factory: pytest.TempPathFactory, fps: float) -> None:
    rate = encodable_rate(fps)
    assert rate == pytest.approx(fps, abs=2e-3)
    path = str(tmp_path_factory.mktemp("rate") / "x.mp4")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"mp4v"), rate, (32, 32))
    for _ in range(3):
        writer.write(np.zeros((32, 32, 3), np.uint8))
    writer.release()
    assert cv2.VideoCapture(path).get(cv2.CAP_PROP_FPS) == pytest.approx(rate, rel=1e-6)


@pytest.mark.parametrize(
    ("times_s", "slots"),
    [
        ([0, 0.1, 0.2], [0, 1, 2]),
        ([0, 0.1, 2.0, 2.1], [0, 1, 20, 21]),
        ([0, 0.05, 0.1, 0.15, 0.2, 0.25], [0, 1, 2, None, 3, None]),
        ([0, 0.14, 0.16, 0.31], [0, 1, 2, 3]),
        ([0.5, 0.6], [5, 6]),
        ([90_000.0, 90_000.1], [0, 1]),
        ([5.0, 5.1, 0.0, 0.1], [50, 51, 52, 53]),
        ([0, 10_000.0, 10_000.1], [0, 3001, 3002]),
    ],
    ids=["steady", "gap", "too-fast", "jitter", "late-start", "very-late-start", "restart", "very-long-gap"],
)
def test_slots_keep_the_timing(times_s: list[float], slots: list[int | None]) -> None:
    rate = ConstantRate(10, times_s[0])
    assert [rate.place(time_s) for time_s in times_s] == slots


def test_omitted_part_of_a_gap_is_counted() -> None:
    rate = ConstantRate(10, 0)
    for time_s in (0, 1000, 1100):
        rate.place(time_s)
    assert rate.shortened_s == pytest.approx(1000 - MAX_GAP_S, abs=0.2)


def test_frames_are_at_most_one_slot_from_their_time() -> None:
    rng, rate, time_s = random.Random(0), ConstantRate(30, 0), 0.0
    shown = 0
    for _ in range(2000):
        time_s += rng.choice((1 / 30, 1 / 28, 1 / 31, rng.uniform(0.01, 0.06), 2.0))
        slot = rate.place(time_s)
        if slot is not None:
            shown += 1
            assert abs(slot / 30 - time_s) <= 1 / 30 + 1e-9
    assert shown > 1900
