from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgeinfer import (
    Box,
    EmotionClassifier,
    JsonlSink,
    OutputError,
    Pipeline,
    SourceLostError,
    VideoSink,
    run,
)
from edgeinfer.outputs.base import Stopped
from edgeinfer.results import Frame
from tools.fakes import FakeDetector, FakeSource

FRAMES = [np.full((60, 80, 3), 250, np.uint8)] * 5


@pytest.fixture
def pipeline(classifier: EmotionClassifier) -> Pipeline:
    return Pipeline(FakeDetector([Box(10, 10, 20, 20)]), classifier)


def test_max_frames_reads_no_frame_too_many(pipeline: Pipeline) -> None:
    seen: list[Frame] = []
    summary = run(FakeSource(FRAMES), pipeline, max_frames=2, on_result=lambda frame, _: seen.append(frame))
    assert (summary.frames, summary.faces, summary.dominant) == (2, 2, "happy")
    assert [frame.index for frame in seen] == [0, 1]
    assert summary.fps > 0


def test_no_faces_is_no_error(classifier: EmotionClassifier) -> None:
    summary = run(FakeSource(FRAMES), Pipeline(FakeDetector([]), classifier))
    assert (summary.frames, summary.faces, summary.dominant) == (5, 0, None)


def test_a_lost_source_closes_every_output(pipeline: Pipeline, tmp_path: Path) -> None:
    source = FakeSource(FRAMES, error=SourceLostError("fake was lost"))
    with pytest.raises(SourceLostError) as error:
        run(source, pipeline, [JsonlSink(str(tmp_path / "x.jsonl")), VideoSink(str(tmp_path / "x.mp4"))])
    assert error.value.exit_code == 7
    lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert [line["type"] for line in lines] == ["header", *["frame"] * 5, "summary"]
    assert (tmp_path / "x.mp4").stat().st_size > 0


def test_a_source_without_frames_still_makes_a_whole_output(pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("of an earlier run\n" * 100)
    assert run(FakeSource([]), pipeline, [JsonlSink(str(tmp_path / "x.jsonl"))]).frames == 0
    lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert [line["type"] for line in lines] == ["header", "summary"]


class Breaking(JsonlSink):
    """Fails or stops at the third frame."""

    error: BaseException = OutputError("full")

    def write(self, frame: Frame, result: object) -> None:
        if frame.index == 2:
            raise self.error


def test_one_failing_output_does_not_lose_the_others(pipeline: Pipeline, tmp_path: Path) -> None:
    good = JsonlSink(str(tmp_path / "good.jsonl"))
    with pytest.raises(OutputError, match="full"):
        run(FakeSource(FRAMES), pipeline, [good, Breaking(str(tmp_path / "bad.jsonl"))])
    last = json.loads((tmp_path / "good.jsonl").read_text().splitlines()[-1])
    assert (last["type"], last["frames"]) == ("summary", 2)


def test_a_closed_window_ends_the_run_quietly(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Breaking, "error", Stopped())
    assert run(FakeSource(FRAMES), pipeline, [Breaking(str(tmp_path / "x.jsonl"))]).frames == 2


def test_a_classifier_of_ones_own_is_named_in_the_header(tmp_path: Path, classifier: EmotionClassifier) -> None:
    class Always:
        labels = classifier.labels
        margin = 0.0
        classify = classifier.classify

    run(FakeSource(FRAMES), Pipeline(FakeDetector([]), Always()), [JsonlSink(str(tmp_path / "x.jsonl"))])
    header = json.loads((tmp_path / "x.jsonl").read_text().splitlines()[0])
    assert header["model"] == {"name": "Always", "sha256": "", "labels": list(classifier.labels)}
