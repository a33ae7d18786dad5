"""Presentation times of video files, in every form in which containers store them."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from edgeinfer import open_source
from edgeinfer.sources.timestamps import PresentationClock, plausible_fps
from tools.matroska import matroska

STEADY = [40 * number for number in range(12)]
GAP = [*STEADY, *(20_000 + time_ms for time_ms in STEADY)]


@pytest.mark.parametrize(
    ("times_ms", "fps"),
    [
        (STEADY, 25),
        (GAP, 25),
        ([0, 40, 80, 500, 520, 1000, 3000, 3040], 25),
        (STEADY, None),
        (STEADY, 90_000),
        (STEADY, 1e6),
        ([200 * number for number in range(12)], 30),
        ([time_ms for time_ms in STEADY if time_ms % 120], 25),
        ([5000 + time_ms for time_ms in STEADY], 25),
        ([90_000_000 + time_ms for time_ms in STEADY], 25),
    ],
    ids=[
        "steady", "gap", "variable", "no-rate", "rate-90000", "rate-1e6", "slower-than-stated", "dropped-frames",
        "first-timestamp-5-s", "first-timestamp-25-h",
    ],
)  # fmt: skip
def test_times_are_those_of_the_container(tmp_path: Path, times_ms: list[int], fps: float | None) -> None:
    path = tmp_path / "x.mkv"
    path.write_bytes(matroska(times_ms, fps=fps, duration_ms=times_ms[-1] + 40))
    with open_source(path) as source, warnings.catch_warnings():
        warnings.simplefilter("error")  # the number of frames is an estimate, so nothing is reported as truncated
        frames = list(source)
    assert [round(float(frame.image.mean()) / 10) for frame in frames] == [n % 26 for n in range(len(times_ms))]
    assert [frame.timestamp_s for frame in frames] == pytest.approx([ms / 1000 for ms in times_ms], abs=0.02)


def test_file_that_ends_long_before_its_duration_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "x.mkv"
    path.write_bytes(matroska(STEADY, duration_ms=4000))
    with open_source(path) as source, pytest.warns(UserWarning, match="ended after 12 of 100 frames"):
        assert len(list(source)) == 12


@pytest.mark.parametrize(
    ("stated", "fps"), [(25.0, 25.0), (240.0, 240.0), (0.0, None), (-1.0, None), (1000.0, None), (float("nan"), None)]
)
def test_implausible_frame_rates_are_ignored(stated: float, fps: float | None) -> None:
    assert plausible_fps(stated) == fps


@pytest.mark.parametrize(
    ("stated_s", "expected_s"),
    [
        ([0, 0, 0], [0, 0.1, 0.2]),
        ([0, 0.1, 0.1, 0.3], [0, 0.1, 0.101, 0.3]),
        ([0, 0.2, 0.1, 0.3], [0, 0.2, 0.201, 0.3]),
        ([7, 8, 0.04, 0.14], [7, 8, 8.1, 8.2]),
        ([0, 0.1, 1e12, 0.3], [0, 0.1, 0.2, 0.3]),
        ([0, 0.1, float("nan"), 0.3], [0, 0.1, 0.2, 0.3]),
        ([-1, 0.1], [0, 0.1]),
        ([float("inf"), 0.1], [0, 0.1]),
    ],
    ids=[
        "none",
        "repeated",
        "out-of-order",
        "restarted",
        "damaged",
        "not-a-number",
        "negative-start",
        "infinite-start",
    ],
)
def test_times_increase_for_any_timestamps(stated_s: list[float], expected_s: list[float]) -> None:
    clock = PresentationClock(10)
    assert [clock.time_s(n, time_s) for n, time_s in enumerate(stated_s)] == pytest.approx(expected_s)


def test_skipped_frames_advance_the_time_without_timestamps() -> None:
    clock = PresentationClock(10)
    assert clock.end_s == 0
    assert [clock.time_s(index, 0) for index in (0, 1, 4)] == pytest.approx([0, 0.1, 0.4])
    assert clock.end_s == pytest.approx(0.5)
