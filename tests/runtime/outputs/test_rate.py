from __future__ import annotations

import threading

import pytest

from edgeinfer.outputs.rate import RateMeter


class Clock:
    """Clock that tests advance.

    Attributes:
        now_s: current time, in seconds.
    """

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def add_regularly(meter: RateMeter, clock: Clock, fps: float, duration_s: float) -> None:
    for _ in range(round(fps * duration_s)):
        clock.now_s += 1 / fps
        meter.add()


def test_rate_is_zero_without_frames(clock: Clock) -> None:
    meter = RateMeter(3.0, clock=clock)
    assert meter.per_second() == 0.0
    meter.add()
    assert meter.per_second() == 0.0  # one frame has no interval


@pytest.mark.parametrize("fps", [1.0, 7.5, 30.0, 1000.0])
def test_rate_of_a_steady_stream(clock: Clock, fps: float) -> None:
    meter = RateMeter(3.0, clock=clock)
    add_regularly(meter, clock, fps, duration_s=20.0)
    assert meter.per_second() == pytest.approx(fps)


def test_rate_before_the_window_is_full(clock: Clock) -> None:
    meter = RateMeter(5.0, clock=clock)
    add_regularly(meter, clock, 10.0, duration_s=1.0)
    assert meter.per_second() == pytest.approx(10.0)


def test_rate_follows_a_change_within_one_window(clock: Clock) -> None:
    meter = RateMeter(3.0, clock=clock)
    add_regularly(meter, clock, 30.0, duration_s=10.0)
    add_regularly(meter, clock, 5.0, duration_s=3.3)
    assert meter.per_second() == pytest.approx(5.0)


def test_rate_falls_to_zero_when_no_frames_arrive(clock: Clock) -> None:
    meter = RateMeter(3.0, clock=clock)
    add_regularly(meter, clock, 30.0, duration_s=10.0)
    rates = []
    for _ in range(4):
        clock.now_s += 1.0
        rates.append(meter.per_second())
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[0] < 30.0
    assert rates[-1] == 0.0
    add_regularly(meter, clock, 10.0, duration_s=1.0)
    assert meter.per_second() == pytest.approx(10.0)


def test_memory_is_bounded(clock: Clock) -> None:
    meter = RateMeter(3.0, clock=clock)
    add_regularly(meter, clock, 500.0, duration_s=10.0)
    assert len(meter._samples) <= 14


def test_concurrent_calls_lose_no_frame() -> None:
    meter = RateMeter(1000.0)

    def add_many() -> None:
        for _ in range(5000):
            meter.add()
            meter.per_second()

    threads = [threading.Thread(target=add_many) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meter._count == 10000
