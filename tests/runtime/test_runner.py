"""The main loop: closing of outputs, events, source states and early failures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer import (
    Box,
    EmotionClassifier,
    Event,
    JsonlSink,
    OutputError,
    Pipeline,
    Result,
    SourceError,
    SourceLostError,
    SourceState,
    VideoSink,
    open_sink,
    run,
)
from edgeinfer.outputs.base import Stopped
from edgeinfer.results import Frame
from edgeinfer.runner import STAGES
from tools.fakes import FakeDetector, FakeSource

FRAMES = [np.full((60, 80, 3), 250, np.uint8)] * 5


@pytest.fixture
def pipeline(classifier: EmotionClassifier) -> Pipeline:
    return Pipeline(FakeDetector([Box(10, 10, 20, 20)]), classifier)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_max_frames_reads_no_further_frame(pipeline: Pipeline) -> None:
    seen: list[Frame] = []
    summary = run(FakeSource(FRAMES), pipeline, max_frames=2, on_result=lambda frame, _: seen.append(frame))
    assert (summary.frames, summary.faces, summary.dominant) == (2, 2, "happy")
    assert [frame.index for frame in seen] == [0, 1]
    assert summary.fps > 0


def test_run_without_faces_succeeds(classifier: EmotionClassifier) -> None:
    summary = run(FakeSource(FRAMES), Pipeline(FakeDetector([]), classifier))
    assert (summary.frames, summary.faces, summary.dominant) == (5, 0, None)


def test_on_frame_receives_the_time_of_every_stage(pipeline: Pipeline) -> None:
    stages: list[tuple[str, ...]] = []
    run(FakeSource(FRAMES), pipeline, on_frame=lambda _frame, _result, stages_ms: stages.append(tuple(stages_ms)))
    assert stages == [STAGES] * 5


def test_lost_source_closes_every_output(pipeline: Pipeline, tmp_path: Path) -> None:
    source = FakeSource(FRAMES, error=SourceLostError("fake was lost"))
    with pytest.raises(SourceLostError) as error:
        run(source, pipeline, [JsonlSink(str(tmp_path / "x.jsonl")), VideoSink(str(tmp_path / "x.mp4"))])
    assert error.value.exit_code == 7
    assert [line["type"] for line in lines_of(tmp_path / "x.jsonl")] == ["header", *["frame"] * 5, "summary"]
    assert (tmp_path / "x.mp4").stat().st_size > 0


def test_empty_source_produces_a_complete_output(pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("of an earlier run\n" * 100)
    assert run(FakeSource([]), pipeline, [JsonlSink(str(tmp_path / "x.jsonl"))]).frames == 0
    assert [line["type"] for line in lines_of(tmp_path / "x.jsonl")] == ["header", "summary"]


@pytest.mark.parametrize("live", [False, True])
def test_only_a_live_source_has_a_time_budget(live: bool, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    enabled: list[bool] = []
    monkeypatch.setattr(pipeline, "keep_pace", enabled.append)
    source = FakeSource(FRAMES)
    source.live = live
    run(source, pipeline)
    assert enabled == [live]


class FailingSink(JsonlSink):
    """Sink that raises an error on the third frame."""

    error: BaseException = OutputError("full")

    def write(self, frame: Frame, result: object) -> None:
        if frame.index == 2:
            raise self.error


def test_failing_output_does_not_damage_the_others(pipeline: Pipeline, tmp_path: Path) -> None:
    good = JsonlSink(str(tmp_path / "good.jsonl"))
    with pytest.raises(OutputError, match="full"):
        run(FakeSource(FRAMES), pipeline, [good, FailingSink(str(tmp_path / "bad.jsonl"))])
    last = lines_of(tmp_path / "good.jsonl")[-1]
    assert (last["type"], last["frames"]) == ("summary", 2)


def test_closed_window_ends_the_run_without_an_error(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FailingSink, "error", Stopped())
    assert run(FakeSource(FRAMES), pipeline, [FailingSink(str(tmp_path / "x.jsonl"))]).frames == 2


def test_header_names_a_custom_classifier_by_its_class(tmp_path: Path, classifier: EmotionClassifier) -> None:
    class Always:
        labels = classifier.labels
        margin = 0.0
        classify = classifier.classify

    run(FakeSource(FRAMES), Pipeline(FakeDetector([]), Always()), [JsonlSink(str(tmp_path / "x.jsonl"))])
    header = lines_of(tmp_path / "x.jsonl")[0]
    assert header["model"] == {"name": "Always", "sha256": "", "labels": list(classifier.labels)}


class RecordingSink:
    """Sink that records its calls, shared with other sinks, under a name."""

    def __init__(self, name: str, calls: list[str], *, fail_in: str = "") -> None:
        self._name, self._calls, self._fail_in = name, calls, fail_in

    def _record(self, call: str) -> None:
        self._calls.append(f"{self._name} {call}")
        if call == self._fail_in:
            raise OutputError(f"{self._name} cannot {call}")

    def __enter__(self) -> None:
        self._record("enter")

    def start(self, *_: object) -> None:
        self._record("start")

    def write(self, frame: Frame, result: Result) -> None:
        self._record(f"write {frame.index}")

    def __exit__(self, *_: object) -> None:
        self._record("exit")


class EventSink(RecordingSink):
    """Sink that also records events."""

    def handle_events(self, events: Sequence[Event], frame: Frame | None, result: Result | None) -> None:
        assert (frame is None) == (result is None)
        kinds = "+".join(event.kind for event in events)
        self._record(f"{kinds} at {frame.index if frame else 'end'}")


class ClosingLastSink(RecordingSink):
    closes_last = True


def test_sinks_that_close_last_are_entered_first(pipeline: Pipeline) -> None:
    calls: list[str] = []
    run(FakeSource([]), pipeline, [RecordingSink("a", calls), ClosingLastSink("b", calls)])
    assert calls == ["b enter", "a enter", "b start", "a start", "a exit", "b exit"]


def test_events_precede_the_write_and_the_exit(pipeline: Pipeline) -> None:
    calls: list[str] = []
    sinks = [EventSink("a", calls), EventSink("b", calls), RecordingSink("c", calls)]
    run(FakeSource(FRAMES), pipeline, sinks, max_frames=2)
    assert calls[6:] == [
        "a appeared at 0", "b appeared at 0", "a write 0", "b write 0", "c write 0",
        "a write 1", "b write 1", "c write 1",
        "a left at end", "b left at end", "c exit", "b exit", "a exit",
    ]  # fmt: skip


@pytest.mark.parametrize("error", [SourceLostError("lost"), KeyboardInterrupt()], ids=["error", "signal"])
def test_failed_run_sends_the_left_events(pipeline: Pipeline, error: BaseException) -> None:
    calls: list[str] = []
    with pytest.raises(type(error)):
        run(FakeSource(FRAMES[:1], error=error), pipeline, [EventSink("a", calls)])
    assert calls[-2:] == ["a left at end", "a exit"]


def test_output_that_cannot_be_opened_leaves_no_file_and_reads_no_frame(pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "older.csv").write_text("older")
    calls: list[str] = []
    names = ["new.jsonl", "older.csv"]
    sinks = [*(open_sink(str(tmp_path / name)) for name in names), RecordingSink("a", calls, fail_in="enter")]
    with pytest.raises(OutputError, match="cannot enter"):
        run(FakeSource(FRAMES, error=AssertionError("frame read")), pipeline, sinks)
    assert calls == ["a enter"]
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"older.csv": "older"}


def test_output_that_cannot_be_appended_to_leaves_the_others_unchanged(pipeline: Pipeline, tmp_path: Path) -> None:
    for name in ("older.jsonl", "older.csv", "diary.csv"):
        (tmp_path / name).write_text("dear diary\n")
    sinks = [open_sink(str(path), append=path.name == "diary.csv") for path in sorted(tmp_path.iterdir(), reverse=True)]
    with pytest.raises(OutputError, match="cannot append"):
        run(FakeSource(FRAMES), pipeline, sinks)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["dear diary\n"] * 3


class AwaitedSource(FakeSource):
    """Source for which the run waits; it publishes its states before the first frame, or before it fails."""

    reconnects = 0
    waits_for_source = True

    def add_state_listener(self, listener: Callable[[SourceState], None]) -> None:
        self._listener = listener

    def __iter__(self) -> Iterator[Frame]:
        for state in ("lost", "connecting"):
            self._listener(SourceState(state, 0.0, ""))
        yield from super().__iter__()


@pytest.mark.parametrize("error", [SourceError("never opened"), KeyboardInterrupt()], ids=["retries", "signal"])
def test_awaited_source_without_a_frame_keeps_existing_outputs(
    pipeline: Pipeline, tmp_path: Path, error: BaseException
) -> None:
    for name in ("older.jsonl", "older.csv"):
        (tmp_path / name).write_text("older\n" * 100)
    sinks = [open_sink(str(tmp_path / name), flush_s=0) for name in ("older.jsonl", "older.csv", "new.jsonl")]
    with pytest.raises(type(error)):
        run(AwaitedSource([], error=error), pipeline, sinks)
    assert (tmp_path / "older.jsonl").read_text() == (tmp_path / "older.csv").read_text() == "older\n" * 100
    assert [line["type"] for line in lines_of(tmp_path / "new.jsonl")] == ["header", "source", "source", "summary"]


def test_first_frame_of_an_awaited_source_replaces_existing_outputs(pipeline: Pipeline, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("older\n" * 100)
    run(AwaitedSource(FRAMES[:1]), pipeline, [open_sink(str(path))])
    assert [line["type"] for line in lines_of(path)] == ["header", "source", "source", "frame", "summary"]


def test_pipe_receives_states_of_an_awaited_source_immediately(
    pipeline: Pipeline, capfd: pytest.CaptureFixture[str]
) -> None:
    class SilentSource(AwaitedSource):
        def __iter__(self) -> Iterator[Frame]:
            states = super().__iter__()
            with pytest.raises(StopIteration):
                next(states)
            received.append(capfd.readouterr().out)
            yield from ()

    received: list[str] = []
    run(SilentSource([]), pipeline, [open_sink("-", flush_s=3600)])
    assert [json.loads(line)["type"] for line in received[0].splitlines()] == ["header", "source", "source"]
