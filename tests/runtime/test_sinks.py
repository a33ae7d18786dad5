from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinfer import (
    Box,
    CsvSink,
    EmotionClassifier,
    JsonlSink,
    OutputError,
    Pipeline,
    RunSummary,
    UsageError,
    VideoSink,
    annotate,
    open_sink,
    run,
)  # fmt: skip
from edgeinfer.sinks import Sink
from tools.fakes import FakeDetector, FakeSource

FRAMES = [np.full((60, 80, 3), grey, np.uint8) for grey in (0, 0, 250)]


@pytest.fixture
def pipeline(classifier: EmotionClassifier) -> Pipeline:
    return Pipeline(FakeDetector([Box(10, 10, 20, 20), Box(50, 30, 20, 20)]), classifier)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(pipeline: Pipeline, *sinks: Sink) -> RunSummary:
    return run(FakeSource(FRAMES), pipeline, sinks)


def test_jsonl_follows_its_schema(tmp_path: Path, pipeline: Pipeline, tiny_model: Path) -> None:
    write(pipeline, JsonlSink(str(tmp_path / "x.jsonl")))
    header, *frames, summary = read(tmp_path / "x.jsonl")
    assert (header["type"], header["schema"], header["source"]) == ("header", 1, "fake")
    assert header["model"]["name"] == "tiny"
    assert len(header["model"]["sha256"]) == 64
    assert header["model"]["labels"][0] == "neutral"
    assert "edgeinfer" in header["versions"]
    assert [(f["type"], f["frame"], f["time_s"]) for f in frames] == [
        ("frame", 0, 0.0),
        ("frame", 1, 0.0333),
        ("frame", 2, 0.0667),
    ]
    face = frames[0]["faces"][0]
    assert list(face) == ["track", "box", "label", "confidence", "probabilities", "raw"]
    assert (face["track"], face["box"], face["label"]) == (1, [10, 10, 20, 20], "neutral")
    assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert all(value == round(value, 4) for value in face["raw"].values())
    assert (summary["type"], summary["frames"], summary["faces"]) == ("summary", 3, 6)
    assert set(summary["stages_ms"]) == {"decode", "detect", "track", "classify", "write"}
    assert set(summary["stages_ms"]["decode"]) == {"p50", "p95"}


def test_csv_has_a_row_for_each_face(tmp_path: Path, pipeline: Pipeline) -> None:
    write(pipeline, CsvSink(str(tmp_path / "x.csv")))
    rows = list(csv.DictReader((tmp_path / "x.csv").read_text().splitlines()))
    assert len(rows) == 6
    assert list(rows[0])[:9] == ["frame", "time_s", "track", "x", "y", "w", "h", "label", "confidence"]
    assert (rows[1]["frame"], rows[1]["track"], rows[1]["x"], rows[1]["label"]) == ("0", "2", "50", "neutral")
    assert sum(float(rows[0][name]) for name in list(rows[0])[9:]) == pytest.approx(1, abs=1e-3)


def test_video_can_be_played_and_carries_the_boxes(tmp_path: Path, pipeline: Pipeline) -> None:
    path = tmp_path / "x.mp4"
    write(pipeline, VideoSink(str(path)))
    capture = cv2.VideoCapture(str(path))
    frames = [capture.read()[1] for _ in range(3)]
    assert not capture.read()[0]
    assert frames[0].shape == (60, 80, 3)
    assert frames[0][10:30, 10].mean() > 60  # the box on a black frame


def test_pictures_of_another_size_are_fitted_into_the_video(tmp_path: Path, pipeline: Pipeline) -> None:
    images = [np.full(shape, 200, np.uint8) for shape in ((60, 80, 3), (200, 50, 3), (30, 90, 3))]
    run(FakeSource(images), pipeline, [VideoSink(str(tmp_path / "x.mp4"))])
    capture = cv2.VideoCapture(str(tmp_path / "x.mp4"))
    assert [capture.read()[1].shape for _ in range(3)] == [(60, 80, 3)] * 3


def test_all_outputs_at_once_count_the_same(tmp_path: Path, pipeline: Pipeline) -> None:
    sinks = [open_sink(str(tmp_path / name)) for name in ("a.jsonl", "b.csv", "c.jsonl")]
    summary = run(FakeSource(FRAMES, fps=1), pipeline, sinks)
    assert summary.frames == 3
    assert summary.labels == {"neutral": 4, "happy": 2}
    assert summary.dominant == "neutral"
    assert read(tmp_path / "a.jsonl")[-1]["faces"] == read(tmp_path / "c.jsonl")[-1]["faces"] == 6


@pytest.mark.parametrize("name", ["x.txt", "x", "x.mp4", ".jsonl/"])
def test_unknown_suffix(name: str) -> None:
    with pytest.raises(UsageError, match=r"ends in \.jsonl or \.csv"):
        open_sink(name)


def test_a_video_must_be_mp4(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.mp4"):
        VideoSink(str(tmp_path / "x.avi"))


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv"])
def test_a_folder_that_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="folder"):
        open_sink(str(tmp_path / "none" / name))
    with pytest.raises(OutputError, match="folder"):
        VideoSink(str(tmp_path / "none" / "x.mp4"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("kind", [JsonlSink, CsvSink])
def test_a_full_disk_is_an_output_error(kind: type[JsonlSink | CsvSink], pipeline: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No space left"):
        run(FakeSource(FRAMES), pipeline, [JsonlSink(str(tmp_path / "kept.jsonl")), kind("/dev/full")])
    lines = read(tmp_path / "kept.jsonl")
    assert (lines[0]["type"], lines[-1]["type"]) == ("header", "summary")


def test_the_part_of_a_line_that_still_went_in_is_taken_back(
    tmp_path: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = JsonlSink(str(tmp_path / "x.jsonl"))
    file, room = sink._lines._file, 2000

    class Small:
        def __getattr__(self, name: str) -> Any:
            return getattr(file, name)

        def write(self, data: bytes) -> int:
            nonlocal room
            if room == 0:
                raise OSError(28, "No space left on device")
            part = data[:room]
            room -= len(part)
            return file.write(part) or 0

    monkeypatch.setattr(sink._lines, "_file", Small())
    with pytest.raises(OutputError):
        write(pipeline, sink)
    assert (tmp_path / "x.jsonl").read_bytes().endswith(b"\n")
    assert [line["type"] for line in read(tmp_path / "x.jsonl")][:2] == ["header", "frame"]


def test_lines_are_on_the_disk_before_the_run_ends(tmp_path: Path, pipeline: Pipeline) -> None:
    path, seen = tmp_path / "x.jsonl", []
    run(
        FakeSource(FRAMES),
        pipeline,
        [JsonlSink(str(path))],
        on_result=lambda *_: seen.append(len(read(path))),
    )
    assert seen == [2, 3, 4]


def test_annotate_leaves_the_picture_and_marks_the_copy(pipeline: Pipeline) -> None:
    result = pipeline(FRAMES[0])
    marked = annotate(FRAMES[0], result)
    assert FRAMES[0].max() == 0
    assert marked.max() > 100
    assert annotate(FRAMES[0][:, :, 0], result).shape == (60, 80, 3)


def test_annotate_stays_inside_for_a_box_at_the_corner(classifier: EmotionClassifier) -> None:
    result = Pipeline(FakeDetector([Box(70, 0, 40, 80)]), classifier)(FRAMES[0])
    assert annotate(FRAMES[0], result).shape == (60, 80, 3)


def test_stdout_stays_open(pipeline: Pipeline, capfd: pytest.CaptureFixture[str]) -> None:
    write(pipeline, open_sink("-"))
    os.write(1, b"after\n")
    lines = capfd.readouterr().out.splitlines()
    assert json.loads(lines[0])["type"] == "header"
    assert lines[-1] == "after"
