"""Poses in JSONL, CSV and Parquet, and in merged and reported results."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer import Box, EmotionClassifier, OutputError, Pipeline, Pose, open_sink, run
from edgeinfer.batch.merging import merge_chunks
from edgeinfer.options.groups import ResultFormat
from edgeinfer.readers.base import FrameRow, RunInfo
from edgeinfer.readers.select import read_result
from tools.fakes import FakeDetector, FakeSource

FACES = [Box(10, 10, 20, 20, pose=Pose(1.26, -40.0, 7.04)), Box(50, 30, 20, 20)]
FRAMES = [np.full((60, 80, 3), grey, np.uint8) for grey in (0, 250)]
POSE = {"roll": 1.3, "yaw": -40.0, "pitch": 7.0}
FORMATS: tuple[ResultFormat, ...] = ("jsonl", "csv", "parquet")


def write(classifier: EmotionClassifier, path: Path, *, with_pose: bool = True) -> Path:
    faces = FACES if with_pose else [Box(*face.xywh) for face in FACES]
    run(FakeSource(FRAMES), Pipeline(FakeDetector(faces), classifier, track=False), [open_sink(str(path))])
    return path


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_jsonl_has_the_poses_that_are_known(classifier: EmotionClassifier, tmp_path: Path) -> None:
    lines = write(classifier, tmp_path / "x.jsonl").read_text().splitlines()
    first, second = json.loads(lines[1])["faces"]
    assert first["pose"] == POSE
    assert "pose" not in second


def test_csv_has_pose_columns_last(classifier: EmotionClassifier, tmp_path: Path) -> None:
    first, second, *_ = csv_rows(write(classifier, tmp_path / "x.csv"))
    assert list(first)[-4:] == ["fear", "roll", "yaw", "pitch"]
    assert {name: float(first[name]) for name in POSE} == POSE
    assert [second[name] for name in POSE] == ["", "", ""]


def test_csv_without_poses_has_no_columns_for_them(classifier: EmotionClassifier, tmp_path: Path) -> None:
    path = write(classifier, tmp_path / "x.csv", with_pose=False)
    assert list(csv_rows(path)[0])[-1] == "fear"
    before = path.read_bytes()
    with pytest.raises(OutputError, match="first line does not match"):
        run(FakeSource(FRAMES), Pipeline(FakeDetector(FACES), classifier), [open_sink(str(path), append=True)])
    assert path.read_bytes() == before


def test_parquet_has_pose_columns_of_numbers(classifier: EmotionClassifier, tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    table = pq.read_table(write(classifier, tmp_path / "x.parquet"))
    assert [str(table.schema.field(name).type) for name in POSE] == ["double"] * 3
    first, second, *_ = table.to_pylist()
    assert {name: first[name] for name in POSE} == POSE
    assert second["yaw"] is None
    empty = tmp_path / "empty.parquet"
    run(FakeSource([]), Pipeline(FakeDetector(FACES), classifier), [open_sink(str(empty))])
    assert pq.read_table(empty).schema.equals(table.schema)


class Frames:
    """Receiver that keeps the frames."""

    wants_details = False

    def __init__(self) -> None:
        self.frames: list[FrameRow] = []

    def begin(self, info: RunInfo) -> None: ...

    def add(self, frame: FrameRow) -> None:
        self.frames.append(frame)

    def list_all_frames(self) -> None: ...

    def summarize(self, summary: Mapping[str, Any]) -> None: ...

    def reject(self) -> None:
        pytest.fail("a row was rejected")


@pytest.mark.parametrize("suffix", FORMATS)
def test_merged_chunks_keep_poses_and_can_be_reported(
    classifier: EmotionClassifier, tmp_path: Path, suffix: ResultFormat
) -> None:
    pytest.importorskip("pyarrow")
    parts = [write(classifier, tmp_path / f"{number}.{suffix}") for number in range(2)]
    merge_chunks(suffix, parts, tmp_path / f"all.{suffix}")
    receiver = Frames()
    read_result(tmp_path / f"all.{suffix}", receiver)
    assert [face.track for frame in receiver.frames for face in frame.faces] == list(range(1, 9))
    if suffix == "csv":
        assert [row["yaw"] for row in csv_rows(tmp_path / "all.csv")] == ["-40.0", ""] * 4
