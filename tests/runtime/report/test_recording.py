"""Figures of recordings and tracks, from hand-made results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgeinfer.readers.batch_list import BatchEntry
from edgeinfer.report.bins import CHANNELS, MAX_BINS, BinnedTimes, TimeGrid
from edgeinfer.report.recording import Recording, shares_of
from tools.result_files import Faces, face, steady, write_csv, write_jsonl

Read = Callable[..., list[Recording]]

TEN_FRAMES: list[Faces] = [
    [face("happy", 0.8)],
    [face("happy", 0.8)],
    [face("happy", 0.8)],
    [face("happy", 0.8), face("unknown", 0.4, track=2)],
    [face("sad", 0.6), face("unknown", 0.4, track=2)],
    [face("sad", 0.6)],
    [], [], [], [],
]  # fmt: skip
"""One second at 10 frames per second."""


def titles(recording: Recording) -> list[str]:
    return [remark.title for remark in recording.remarks]


def test_figures_of_a_jsonl_result(tmp_path: Path, read: Read) -> None:
    (recording,) = read(write_jsonl(tmp_path / "a.jsonl", steady(TEN_FRAMES), unknown_below=0.5))
    assert (recording.name, recording.status, recording.info.unknown_below) == ("clip.mp4", "complete", 0.5)
    assert (recording.frames, recording.frames_with_face, recording.faces) == (10, 6, 8)
    assert recording.duration_s == pytest.approx(1.0)
    assert recording.coverage == pytest.approx(0.6)
    assert shares_of(recording.shares) == pytest.approx({"happy": 0.5, "sad": 0.25, "unknown": 0.25})
    first, second = recording.tracks
    assert (first.number, first.first_s, first.last_s, first.dominant) == (1, 0.0, 0.5, "happy")
    assert (first.duration_s, first.seen_s, first.confidence) == pytest.approx((0.5, 0.6, (4 * 0.8 + 2 * 0.6) / 6))
    assert (first.unknown_share, second.unknown_share, second.dominant) == (0.0, 1.0, "unknown")
    assert (second.first_s, second.last_s, second.confidence) == pytest.approx((0.3, 0.4, 0.4))
    assert titles(recording) == []


def test_csv_with_rows_for_empty_frames_has_the_same_figures(tmp_path: Path, read: Read) -> None:
    (expected,) = read(write_jsonl(tmp_path / "a.jsonl", steady(TEN_FRAMES)))
    (recording,) = read(write_csv(tmp_path / "a.csv", steady(TEN_FRAMES), empty_frames=True))
    assert (recording.frames, recording.coverage) == (10, expected.coverage)
    assert recording.duration_s == pytest.approx(expected.duration_s)
    assert shares_of(recording.shares) == pytest.approx(shares_of(expected.shares))
    assert (recording.name, recording.info.model) == ("a.csv", None)


def test_csv_without_empty_frames_takes_the_extent_from_the_batch(tmp_path: Path, read: Read) -> None:
    path = write_csv(tmp_path / "a.csv", [(5 + time_s, faces) for time_s, faces in steady(TEN_FRAMES)])
    (alone,) = read(path)
    assert (alone.frames, alone.start_s) == (6, 5.0)
    assert alone.duration_s == pytest.approx(0.6)
    (listed,) = read(path, BatchEntry("a.mp4", "done", "", 10, 1.0))
    assert (listed.frames, listed.coverage) == (10, 0.6)
    assert listed.duration_s == pytest.approx(1.0)


def test_csv_without_empty_frames_estimates_frames_from_their_numbers(tmp_path: Path, read: Read) -> None:
    faces: list[Faces] = [[], [], [face("happy")], [], [], [], [face("sad")]]
    (recording,) = read(write_csv(tmp_path / "a.csv", steady(faces)))
    assert (recording.frames, recording.frames_with_face) == (7, 2)
    assert (recording.start_s, recording.duration_s) == pytest.approx((0.0, 0.7))
    assert recording.tracks[0].seen_s == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("times", "weights"),
    [
        pytest.param([0.0, 0.1, 0.4], {"happy": 0.1, "sad": 0.3, "fear": 0.3}, id="variable rate"),
        pytest.param([0.0, 90.0, 90.5], {"happy": 1.0, "sad": 0.5, "fear": 0.5}, id="gap of more than a second"),
        pytest.param([3.0, 3.2, 3.1], {"happy": 0.2, "sad": 0.2, "fear": 0.2}, id="time runs backward"),
        pytest.param([1.7e9, 1.7e9 + 0.5, 1.7e9 + 1], {"happy": 0.5, "sad": 0.5, "fear": 0.5}, id="Unix times"),
    ],
)
def test_a_frame_lasts_until_the_next_one(
    tmp_path: Path, read: Read, times: list[float], weights: dict[str, float]
) -> None:
    faces = [[face(label)] for label in weights]
    (recording,) = read(write_jsonl(tmp_path / "a.jsonl", zip(times, faces, strict=True)))
    found = {label: share.weight for label, share in recording.shares.items()}
    assert found == pytest.approx(weights, abs=1e-6)


def test_single_frame_has_a_share(tmp_path: Path, read: Read) -> None:
    (recording,) = read(write_jsonl(tmp_path / "a.jsonl", steady([[face("fear")]])))
    assert shares_of(recording.shares) == {"fear": 1.0}
    assert recording.tracks[0].duration_s == 0


def test_pictures_have_shares_of_faces_and_no_tracks(tmp_path: Path, read: Read) -> None:
    faces = [[face("happy", 0.9, 1), face("happy", 0.95, 2)], [], [face("unknown", 0.3, 3)]]
    names = ["p/1.jpg", "p/2.jpg", "p/3.jpg"]
    (lines,) = read(write_jsonl(tmp_path / "a.jsonl", [(i, f) for i, f in enumerate(faces)], pictures=names))
    (table,) = read(write_csv(tmp_path / "a.csv", [(i, f) for i, f in enumerate(faces)], pictures=names))
    for recording in (lines, table):
        assert recording.has_pictures
        assert recording.tracks == []
        assert (recording.frames, recording.faces, recording.duration_s) == (3, 3, 0)
        assert shares_of(recording.shares) == pytest.approx({"happy": 2 / 3, "unknown": 1 / 3})
        best = recording.shares["happy"].best
        assert best is not None
        assert (best.picture, best.confidence) == ("p/1.jpg", 0.95)


def test_remarks_name_reasons_for_care(tmp_path: Path, read: Read) -> None:
    few: list[Faces] = [[face("happy", width=20)], *[[]] * 19]
    summary = {"dropped": 5, "skipped": 1, "reconnects": 2}
    (recording,) = read(
        write_jsonl(tmp_path / "a.jsonl", steady(few), summary=summary), BatchEntry("a", "done", "truncated", 20, 2.0)
    )
    assert titles(recording) == [
        "damaged source", "dropped frames", "skipped frames", "lost connection", "few faces", "small faces",
    ]  # fmt: skip
    texts = " ".join(remark.text for remark in recording.remarks)
    for words in ("truncated", "5 of 25 frames", "1 frame could", "2 times", "5.0 %", "20 pixels"):
        assert words in texts


def test_recording_without_faces_has_a_status(tmp_path: Path, read: Read) -> None:
    (recording,) = read(write_jsonl(tmp_path / "a.jsonl", steady([[], []])))
    assert (recording.status, recording.confidence, titles(recording)) == ("no faces", None, ["no faces"])
    (empty,) = read(write_csv(tmp_path / "a.csv", []))
    assert (empty.status, empty.coverage) == ("no faces", None)


def test_many_labels_are_joined(tmp_path: Path, read: Read) -> None:
    faces = [[face(f"label {number}")] for number in range(2 * CHANNELS)]
    (recording,) = read(write_jsonl(tmp_path / "a.jsonl", steady(faces)))
    assert len(recording.labels) == CHANNELS
    assert recording.labels[-1] == "other"
    assert sum(shares_of(recording.shares).values()) == pytest.approx(1.0)


def test_intervals_stay_bounded_and_keep_their_sums() -> None:
    grid, series = TimeGrid(100.0), BinnedTimes()
    spans = [(100 + 7.3 * number, 100 + 7.3 * number + 0.9) for number in range(3000)]
    for start_s, end_s in spans:
        series.add(grid, grid.parts(start_s, end_s), 3, 0.5)
    series.fit(grid)
    assert max(series.cells) // CHANNELS < MAX_BINS
    assert len(series.cells) <= MAX_BINS
    assert sum(seconds for seconds, _ in series.cells.values()) == pytest.approx(0.9 * len(spans))
    assert sum(product for _, product in series.cells.values()) == pytest.approx(0.45 * len(spans))
    assert {key % CHANNELS for key in series.cells} == {3}


def test_interval_parts_cover_a_span_exactly() -> None:
    grid = TimeGrid(0.0)
    parts = grid.parts(0.03, 0.11)
    assert [number for number, _ in parts] == [1, 2, 3, 4, 5]
    assert sum(seconds for _, seconds in parts) == pytest.approx(0.08)
    assert grid.parts(0.5, 0.5) == []
