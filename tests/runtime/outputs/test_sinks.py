"""JSONL and CSV sinks."""

from __future__ import annotations

import csv
import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer import (
    Box,
    CsvSink,
    EmotionClassifier,
    JsonlSink,
    OutputError,
    Pipeline,
    Result,
    Rotation,
    RunSummary,
    UsageError,
    open_sink,
    run,
)  # fmt: skip
from edgeinfer.outputs.base import Sink
from edgeinfer.outputs.rotation import finished_parts
from edgeinfer.outputs.summary import RunHeader
from edgeinfer.results import Frame, SourceState
from tools.fakes import FakeDetector, FakeSource

FRAMES = [np.full((60, 80, 3), grey, np.uint8) for grey in (0, 0, 250)]


@pytest.fixture
def pipeline(classifier: EmotionClassifier) -> Pipeline:
    return Pipeline(FakeDetector([Box(10, 10, 20, 20), Box(50, 30, 20, 20)]), classifier)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(pipeline: Pipeline, *sinks: Sink) -> RunSummary:
    return run(FakeSource(FRAMES), pipeline, sinks)


def test_jsonl_follows_the_schema(tmp_path: Path, pipeline: Pipeline, tiny_model: Path) -> None:
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


def test_csv_has_one_row_per_face(tmp_path: Path, pipeline: Pipeline) -> None:
    write(pipeline, CsvSink(str(tmp_path / "x.csv")))
    rows = list(csv.DictReader((tmp_path / "x.csv").read_text().splitlines()))
    assert len(rows) == 6
    assert list(rows[0])[:9] == ["frame", "time_s", "track", "x", "y", "w", "h", "label", "confidence"]
    assert (rows[1]["frame"], rows[1]["track"], rows[1]["x"], rows[1]["label"]) == ("0", "2", "50", "neutral")
    assert sum(float(rows[0][name]) for name in list(rows[0])[9:]) == pytest.approx(1, abs=1e-3)


def test_all_outputs_report_the_same_counts(tmp_path: Path, pipeline: Pipeline) -> None:
    sinks = [open_sink(str(tmp_path / name)) for name in ("a.jsonl", "b.csv", "c.jsonl")]
    summary = run(FakeSource(FRAMES, fps=1), pipeline, sinks)
    assert summary.frames == 3
    assert summary.labels == {"neutral": 4, "happy": 2}
    assert summary.dominant == "neutral"
    assert read(tmp_path / "a.jsonl")[-1]["faces"] == read(tmp_path / "c.jsonl")[-1]["faces"] == 6


@pytest.mark.parametrize("name", ["x.txt", "x", "x.mp4", ".jsonl/"])
def test_unknown_suffix_is_rejected(name: str) -> None:
    with pytest.raises(UsageError, match=r"ends in \.jsonl, \.csv"):
        open_sink(name)


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv"])
def test_missing_folder_is_an_output_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="folder"):
        open_sink(str(tmp_path / "none" / name))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("kind", [JsonlSink, CsvSink])
def test_full_disk_is_an_output_error(kind: type[JsonlSink | CsvSink], pipeline: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No space left"):
        run(FakeSource(FRAMES), pipeline, [JsonlSink(str(tmp_path / "kept.jsonl")), kind("/dev/full")])
    lines = read(tmp_path / "kept.jsonl")
    assert (lines[0]["type"], lines[-1]["type"]) == ("header", "summary")


def test_stdout_stays_open(pipeline: Pipeline, capfd: pytest.CaptureFixture[str]) -> None:
    write(pipeline, open_sink("-"))
    os.write(1, b"after\n")
    lines = capfd.readouterr().out.splitlines()
    assert json.loads(lines[0])["type"] == "header"
    assert lines[-1] == "after"


def test_pipe_receives_each_line_during_the_run(pipeline: Pipeline, capfd: pytest.CaptureFixture[str]) -> None:
    seen: list[int] = []
    sink = open_sink("-", flush_s=3600)
    run(FakeSource(FRAMES), pipeline, [sink], on_result=lambda *_: seen.append(capfd.readouterr().out.count("\n")))
    assert seen == [2, 1, 1]


def part_files(folder: Path, suffix: str) -> list[Path]:
    """Return every part of x, the current one last."""
    return [*finished_parts(folder / f"x{suffix}"), folder / f"x{suffix}"]


def test_every_jsonl_part_has_header_and_summary(tmp_path: Path, pipeline: Pipeline) -> None:
    sink = JsonlSink(str(tmp_path / "x.jsonl"), rotation=Rotation(1500))
    total = run(FakeSource(FRAMES * 4), pipeline, [sink])
    seen = [read(path) for path in part_files(tmp_path, ".jsonl")]
    assert len(seen) > 3
    for header, *frames, summary in seen:
        assert header == seen[0][0]
        assert {line["type"] for line in frames} == {"frame"}
        assert summary["type"] == "summary"
        assert summary["frames"] == len(frames)
        assert summary["faces"] == sum(summary["labels"].values()) == 2 * len(frames)
    assert [line["frame"] for part in seen for line in part[1:-1]] == list(range(12))
    summaries = [part[-1] for part in seen]
    assert sum(summary["labels"].get("happy", 0) for summary in summaries) == total.labels["happy"]
    assert sum(summary["elapsed_s"] for summary in summaries) <= total.elapsed_s + 0.001 * len(seen)


def test_every_csv_part_has_the_column_names(tmp_path: Path, pipeline: Pipeline) -> None:
    run(FakeSource(FRAMES * 10), pipeline, [CsvSink(str(tmp_path / "x.csv"), rotation=Rotation(1000))])
    seen = [list(csv.DictReader(path.read_text().splitlines())) for path in part_files(tmp_path, ".csv")]
    assert len(seen) > 2
    rows = [row for part in seen for row in part]
    assert [row["frame"] for row in rows] == [str(index // 2) for index in range(60)]
    assert all(part[0]["frame"] != before[-1]["frame"] for before, part in pairwise(seen)), (
        "a frame is split over two parts"
    )
    assert {len(row) for row in rows} == {9 + 7}


def test_parts_beyond_keep_are_deleted(tmp_path: Path, pipeline: Pipeline) -> None:
    rotation = Rotation(1000, keep=2)
    run(FakeSource(FRAMES * 4), pipeline, [JsonlSink(str(tmp_path / "x.jsonl"), rotation=rotation)])
    seen = [read(path) for path in part_files(tmp_path, ".jsonl")]
    assert len(seen) == 3
    assert seen[-1][-2]["frame"] == 11


def test_part_that_cannot_be_renamed_ends_with_one_summary(tmp_path: Path, pipeline: Pipeline) -> None:
    path, moved = tmp_path / "x.jsonl", tmp_path / "moved"
    sink = JsonlSink(str(path), rotation=Rotation(1500))

    def move_away(frame: Frame, _: Result) -> None:
        if frame.index == 0:
            path.rename(moved)

    with pytest.raises(OutputError, match="cannot be renamed"):
        run(FakeSource(FRAMES * 4), pipeline, [sink], on_result=move_away)
    kinds = [line["type"] for line in read(moved)]
    assert (kinds[0], kinds.count("summary"), kinds[-1]) == ("header", 1, "summary")


def test_append_continues_both_formats(tmp_path: Path, pipeline: Pipeline) -> None:
    names = [str(tmp_path / name) for name in ("x.jsonl", "x.csv")]
    for _ in range(2):
        write(pipeline, *(open_sink(name, append=True) for name in names))
    kinds = [line["type"] for line in read(tmp_path / "x.jsonl")]
    assert kinds == ["header", "frame", "frame", "frame", "summary"] * 2
    rows = list(csv.DictReader((tmp_path / "x.csv").read_text().splitlines()))
    assert [row["frame"] for row in rows] == ["0", "0", "1", "1", "2", "2"] * 2


@pytest.mark.parametrize(
    ("name", "content"),
    [("x.csv", "frame,time_s,track,x,y,w,h,label,confidence,glad\n0,0.0"), ("x.jsonl", '{"a":1}\n{"b"')],
)
def test_append_to_other_content_is_rejected(tmp_path: Path, pipeline: Pipeline, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(OutputError, match="cannot append") as error:
        write(pipeline, open_sink(str(tmp_path / name), append=True))
    assert error.value.exit_code == 6
    assert (tmp_path / name).read_text() == content


def test_source_states_are_separate_lines(tmp_path: Path, pipeline: Pipeline) -> None:
    sink = JsonlSink(str(tmp_path / "x.jsonl"))
    sink.source_state(SourceState("connecting", 0.0, "before the header"))
    states = {1: SourceState("stalled", 2.00001, "no frame for 5 s"), 2: SourceState("live", 9.5, "")}

    def send_state(frame: Frame, _: Result) -> None:
        if frame.index in states:
            sink.source_state(states[frame.index])

    run(FakeSource(FRAMES), pipeline, [sink], on_result=send_state)
    lines = read(tmp_path / "x.jsonl")
    assert [line["type"] for line in lines] == ["header", "frame", "frame", "source", "frame", "source", "summary"]
    assert lines[3] == {"type": "source", "state": "stalled", "time_s": 2.0, "detail": "no frame for 5 s"}
    assert lines[5] == {"type": "source", "state": "live", "time_s": 9.5, "detail": ""}


def test_since_subtracts_the_counts_of_a_live_source() -> None:
    earlier = RunSummary(10, 4, {"sad": 1, "happy": 3}, 2.0, {}, {"p50": 1.0}, dropped=5, reconnects=1)
    now = RunSummary(25, 6, {"sad": 1, "happy": 5}, 5.0, {"decode": {}}, {"p50": 2.0}, 5, reconnects=3, skipped=2)
    assert now.since(earlier) == RunSummary(15, 2, {"happy": 2}, 3.0, {"decode": {}}, {"p50": 2.0}, 0, 2, 2)


@pytest.mark.parametrize(
    ("counts", "written"),
    [
        pytest.param({}, {}, id="file"),
        pytest.param({"skipped": 2}, {"skipped": 2}, id="damaged-file"),
        pytest.param({"dropped": 0, "reconnects": 0}, {"dropped": 0, "reconnects": 0}, id="camera"),
    ],
)
def test_counts_that_do_not_apply_are_omitted(tmp_path: Path, counts: dict[str, Any], written: dict[str, int]) -> None:
    with JsonlSink(str(tmp_path / "x.jsonl")) as sink:
        header = RunHeader("x", None, ("sad",), "m", "", {})
        sink.start(header, lambda: RunSummary(0, 0, {}, 1.0, {}, **counts))
    summary = read(tmp_path / "x.jsonl")[-1]
    assert {
        name: summary[name] for name in ("dropped", "reconnects", "skipped", "delay_ms") if name in summary
    } == written


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv"])
@pytest.mark.parametrize("anonymous", [False, True])
def test_existing_file_keeps_its_content_until_the_first_frame(
    tmp_path: Path, name: str, anonymous: bool, pipeline: Pipeline
) -> None:
    (tmp_path / name).write_text("old\n" * 1000)
    with open_sink(str(tmp_path / name), flush_s=0, anonymous=anonymous) as sink:
        sink.start(RunHeader("x", None, ("sad",), "m", "", {}), lambda: RunSummary(0, 0, {}, 1.0, {}))
        assert (tmp_path / name).read_text() == "old\n" * 1000
        sink.write(Frame(FRAMES[0], 0, 0.0), pipeline(FRAMES[0]))
        assert "old" not in (tmp_path / name).read_text()
        assert (tmp_path / name).read_text().count("\n") > 0


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv"])
def test_constructor_does_not_open_the_file(tmp_path: Path, name: str) -> None:
    sink = open_sink(str(tmp_path / name))
    assert list(tmp_path.iterdir()) == []
    with sink:
        assert (tmp_path / name).exists()
    assert list(tmp_path.iterdir()) == [], "an unused file is removed"
