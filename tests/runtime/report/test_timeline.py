"""Timelines as SVG paths, and the time axis."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from edgeinfer.report.recording import Recording
from edgeinfer.report.timeline import MAX_LANES, Timeline, clock, compact, presence_path, ticks
from tools.result_files import Faces, face, steady, write_jsonl

Read = Callable[..., list[Recording]]


@pytest.fixture
def recording(tmp_path: Path, read: Read) -> Callable[..., Recording]:
    def make(faces: list[Faces], fps: float = 10.0) -> Recording:
        (found,) = read(write_jsonl(tmp_path / "a.jsonl", steady(faces, fps)))
        return found

    return make


def step_count(recording: Recording, max_steps: int) -> int:
    return sum(path.count("H") for lane in Timeline(recording).lanes(max_steps) for path in lane.paths.values())


def test_lane_has_a_path_per_label_with_confidence_as_height(recording: Callable[..., Recording]) -> None:
    faces: list[Faces] = [
        [face("happy", 1.0)], [face("happy", 1.0)], [face("happy", 0.5)], [face("sad", 0.75)], [],
        [face("happy", 0.25)], [], [], [], [],
    ]  # fmt: skip
    (lane,) = Timeline(recording(faces)).lanes(100)
    assert lane.paths == {
        "happy": "M0 20V0H200V10H300V20zM500 20V15H600V20z",
        "sad": "M300 20V5H400V20z",
    }


def test_presence_is_the_share_of_frames_with_a_face(recording: Callable[..., Recording]) -> None:
    faces: list[Faces] = [[face("happy")], [face("happy")], [], [face("happy")]]
    assert presence_path(recording(faces), 100) == "M0 20V0H500V20H750V0H1000V20z"
    assert presence_path(recording(faces), 1) == "M0 20V5H1000V20z"


def test_number_of_steps_is_limited(recording: Callable[..., Recording]) -> None:
    faces = [[face(("happy", "sad")[number % 2], 0.5 + number % 7 / 20)] for number in range(3000)]
    long = recording(faces)
    assert step_count(long, 5000) > 400
    for limit in (200, 50, 3):
        assert 0 < step_count(long, limit) <= limit


def test_longest_tracks_are_shown_in_the_order_of_their_first_frame(recording: Callable[..., Recording]) -> None:
    faces: list[Faces] = [
        [face("happy", track=100 - number) for number in range(50) if number <= index <= 2 * number]
        for index in range(100)
    ]
    found = Timeline(recording(faces)).lanes(10_000)
    assert [lane.track.number for lane in found] == list(range(80, 80 - MAX_LANES, -1))


def test_compact_recording_has_the_same_timeline(recording: Callable[..., Recording]) -> None:
    faces = [[face(("happy", "sad")[number // 40 % 2], 0.6)] for number in range(2000)]
    whole, compacted = recording(faces), recording(faces)
    compact(compacted)
    assert len(compacted.tracks[0].times.cells) < 0.6 * len(whole.tracks[0].times.cells)
    assert Timeline(compacted).lanes(1000) == [
        replace(lane, track=compacted.tracks[0]) for lane in Timeline(whole).lanes(1000)
    ]
    assert presence_path(compacted, 100) == presence_path(whole, 100)


def test_labels_of_successive_steps_do_not_overlap(recording: Callable[..., Recording]) -> None:
    faces = [[face(("happy", "sad", "fear")[number // 7 % 3], 0.6)] for number in range(5000)]
    (lane,) = Timeline(recording(faces, 30.0)).lanes(8000)
    runs = sorted(
        (int(start), int(end))
        for path in lane.paths.values()
        for start, end in re.findall(r"M(\d+) 20(?:V\d+H\d+)*V\d+H(\d+)V20z", path)
    )
    assert runs[0][0] == 0
    assert runs[-1][1] == 1000
    assert all(end <= start for (_, end), (start, _) in pairwise(runs))


@pytest.mark.parametrize(
    ("seconds", "texts"),
    [
        (0.5, ["0:00.0", "0:00.1", "0:00.2", "0:00.3", "0:00.4", "0:00.5"]),
        (10, ["0:00", "0:02", "0:04", "0:06", "0:08", "0:10"]),
        (7200, ["0:00", "15:00", "30:00", "45:00", "1:00:00", "1:15:00", "1:30:00", "1:45:00", "2:00:00"]),
        (86_400 * 30, ["0:00", "96:00:00"]),
    ],
)
def test_axis_has_round_times(seconds: float, texts: list[str]) -> None:
    class Extent:
        start_s, end_s, duration_s = 0.0, seconds, seconds

    found = ticks(Extent())  # type: ignore[arg-type]
    assert [tick.text for tick in found][: len(texts)] == texts
    assert len(found) <= 9
    assert found[0].percent == 0


def test_axis_of_a_recording_that_begins_later(recording: Callable[..., Recording]) -> None:
    class Extent:
        start_s, end_s, duration_s = 3.3, 7.3, 4.0

    found = ticks(Extent())  # type: ignore[arg-type]
    assert [(tick.text, tick.percent) for tick in found[:2]] == [("0:03.5", 5.0), ("0:04.0", 17.5)]


@pytest.mark.parametrize(
    ("seconds", "precision_s", "text"),
    [(0, 1, "0:00"), (59.6, 1, "1:00"), (59.96, 0.1, "1:00.0"), (3599.5, 1, "1:00:00"), (-1.5, 0.1, "-0:01.5")],
)
def test_clock(seconds: float, precision_s: float, text: str) -> None:
    assert clock(seconds, precision_s) == text
