"""Tests of the speed and the remaining time of a batch."""

from __future__ import annotations

import pytest

from edgeinfer.batch.jobs import BatchSource, Kind, Outcome, Progress
from edgeinfer.batch.progress import WINDOW_S, Meter


class Clock:
    """Clock that a test advances."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def source(path: str, size_bytes: int = 0, *, kind: Kind = "video", files: int = 1) -> BatchSource:
    return BatchSource(path, kind, path, (path,) * files, path, size_bytes, "")


def test_no_estimate_before_the_first_result(clock: Clock) -> None:
    meter = Meter([source("a", 10)], clock)
    assert (meter.frames, meter.fps(), meter.eta_s()) == (0, 0.0, None)


def test_remaining_videos_are_estimated_by_their_size(clock: Clock) -> None:
    first, second, third = sources = [source("a", 100), source("b", 300), source("c", 100)]
    meter = Meter(sources, clock)
    clock.now_s += 10
    meter.finish(first, first.files, Outcome("done", frames=500, duration_s=20, elapsed_s=10), 1)
    assert meter.eta_s() == pytest.approx(40)  # 400 bytes, one worker
    meter.report(Progress(2, 100, 4.0), second)
    assert meter.eta_s() == pytest.approx(38)  # 4 s of video at twice the speed of real time
    meter.finish(third, third.files, Outcome("failed", "damaged"), 3)
    assert meter.eta_s() == pytest.approx(28)
    meter.drop(2)
    assert meter.eta_s() == pytest.approx(30)


def test_two_workers_need_half_the_time(clock: Clock) -> None:
    sources = [source(name, 100) for name in "abcdef"]
    meter = Meter(sources, clock)
    clock.now_s += 10
    for number in (0, 1):
        outcome = Outcome("done", frames=100, duration_s=20, elapsed_s=10)
        meter.finish(sources[number], sources[number].files, outcome, number)
    assert meter.eta_s() == pytest.approx(20)


def test_videos_and_pictures_add_up(clock: Clock) -> None:
    video, photos = source("a", 100), source("p", 5, kind="pictures", files=30)
    meter = Meter([video, source("b", 100), photos], clock)
    clock.now_s += 10
    meter.finish(video, video.files, Outcome("done", duration_s=20, elapsed_s=10), 1)
    assert meter.eta_s() == pytest.approx(10)  # pictures are unknown yet
    clock.now_s += 10
    meter.finish(photos, photos.files[:10], Outcome("done", frames=10, elapsed_s=10), 2)
    assert meter.eta_s() == pytest.approx(10 + 20)
    meter.finish(photos, photos.files[10:20], Outcome("done", frames=10))  # in an earlier call
    assert meter.eta_s() == pytest.approx(10 + 10)


def test_speed_is_that_of_the_last_seconds(clock: Clock) -> None:
    slow, fast = source("a", 100), source("b", 100)
    meter = Meter([slow, fast], clock)
    for number in range(1, 41):
        clock.now_s += 1
        meter.report(Progress(1, number, float(number)), slow)
        meter.fps()
    assert meter.fps() == pytest.approx(1)
    assert list(meter.running) == [1]
    meter.finish(slow, slow.files, Outcome("done", frames=40, duration_s=40, elapsed_s=40), 1)
    for number in range(1, 41):
        clock.now_s += 1
        meter.report(Progress(2, 50 * number, 2.0 * number), fast)
        meter.fps()
    assert meter.fps() == pytest.approx(50)
    assert meter.frames == 40 + 2000
    clock.now_s += 2 * WINDOW_S
    meter.drop(2)
    assert meter.fps() == 0.0
