"""Anonymous per-minute aggregates as JSONL and CSV."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer import LABELS, Box, EmotionClassifier, Pipeline, Rotation, run
from edgeinfer.outputs.anonymous import AnonymousCsvSink, AnonymousJsonlSink, MinuteCounter
from edgeinfer.results import Emotion, Face, Result
from tools.fakes import FakeDetector, FakeSource

DARK, LIGHT = np.full((60, 80, 3), 0, np.uint8), np.full((60, 80, 3), 250, np.uint8)
CLIP = [DARK] * 90 + [LIGHT] * 60
"""At 1 frame per second: 90 s of a neutral face, then 60 s of a happy one."""


def result_at(at_s: float, *labels: str) -> Result:
    emotions = [Emotion(label, 1.0, {label: 1.0}) for label in labels]
    return Result(tuple(Face(n, Box(0, 0, 9, 9), emotion, emotion) for n, emotion in enumerate(emotions)), at_s)


def test_minutes_have_the_number_of_faces_and_the_time_of_each_label() -> None:
    counter = MinuteCounter()
    results = [result_at(at, "happy", *(["sad"] if 30 <= at < 40 else [])) for at in range(58)]
    assert [counter.add(result) for result in results] == [None] * 58
    first = counter.add(result_at(200.0, "sad"))  # after a gap of more than a second
    second = counter.close()
    assert first is not None
    assert second is not None
    assert (first.from_s, first.to_s, first.faces) == (0, 60, 2)
    assert first.label_s == {"happy": 57, "sad": 10}
    assert (second.from_s, second.to_s, second.faces) == (180, 200, 1)
    assert second.label_s == {"sad": 1}
    assert counter.close() is None


@pytest.fixture
def pipeline(classifier: EmotionClassifier) -> Pipeline:
    return Pipeline(FakeDetector([Box(10, 10, 20, 20)]), classifier, detect_every=1)


def shown_labels(minute: dict[str, Any]) -> dict[str, float]:
    return {label: seconds for label, seconds in minute["label_s"].items() if seconds}


def test_jsonl_has_neither_boxes_nor_tracks(tmp_path: Path, pipeline: Pipeline) -> None:
    path = tmp_path / "x.jsonl"
    run(FakeSource(CLIP, fps=1), pipeline, [AnonymousJsonlSink(str(path))])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["type"] for line in lines] == ["header", "minute", "minute", "minute", "summary"]
    assert shown_labels(lines[1]) == {"neutral": 59.0}
    assert shown_labels(lines[3]) == {"happy": 30.0}
    assert set(lines[3]) == {"type", "from_s", "to_s", "faces", "label_s"}
    assert [lines[3][key] for key in ("from_s", "to_s", "faces")] == [120.0, 149.0, 1]
    assert "box" not in path.read_text()
    assert "track" not in path.read_text().replace('"track":{', "")  # stage time in the summary


def test_csv_has_one_row_per_minute(tmp_path: Path, pipeline: Pipeline) -> None:
    path = tmp_path / "x.csv"
    run(FakeSource(CLIP, fps=1), pipeline, [AnonymousCsvSink(str(path))])
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [(row["from_s"], row["to_s"], row["faces"]) for row in rows] == [
        ("0.0", "60.0", "1"), ("60.0", "120.0", "1"), ("120.0", "149.0", "1"),
    ]  # fmt: skip
    assert list(rows[0]) == ["from_s", "to_s", "faces", *LABELS, "unknown"]


def test_parts_are_complete(tmp_path: Path, pipeline: Pipeline) -> None:
    path = tmp_path / "x.jsonl"
    run(FakeSource(CLIP * 6, fps=1), pipeline, [AnonymousJsonlSink(str(path), rotation=Rotation(1000))])
    parts = sorted(tmp_path.glob("x*.jsonl"))
    assert len(parts) >= 2
    minutes = []
    for part in parts:
        lines = [json.loads(line) for line in part.read_text().splitlines()]
        assert (lines[0]["type"], lines[-1]["type"]) == ("header", "summary")
        minutes += [line["from_s"] for line in lines[1:-1]]
    assert sorted(minutes) == [60.0 * number for number in range(15)]


def test_command_rejects_identifying_outputs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgeinfer", "run", "--anonymous", "--max-frames", "40", "--quiet"]
    done = subprocess.run([*command, "--save-video", "x.mp4"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "--anonymous excludes" in done.stderr
    assert "--save-video" in done.stderr
    out = tmp_path / "x.csv"
    subprocess.run([*command, "--out", str(out)], check=True, timeout=60)
    assert len(out.read_text().splitlines()) == 2
