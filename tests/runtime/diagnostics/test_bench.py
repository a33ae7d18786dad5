"""Benchmark of a run."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import numpy as np
import pytest

from edgeinfer import Pipeline
from edgeinfer.cli import inspect as cli_inspect
from edgeinfer.diagnostics import bench
from edgeinfer.diagnostics.measurement import Measurement, Noise
from edgeinfer.options.groups import DetectionOptions, ModelOptions
from tools.cli import edgeinfer

pytestmark = pytest.mark.slow

STEADY = (1.0,) * 30


def test_report_contains_raw_times_and_percentiles(clip: Path, tmp_path: Path, tiny_model: Path) -> None:
    path = tmp_path / "b.json"
    done = edgeinfer("bench", clip, "--max-frames", "30", "--json", path, "--model", tiny_model, "--threads", "1")
    assert done.returncode == 0, done.stderr
    report = json.loads(path.read_text())
    stages = report["stages_ms"]
    assert {"decode", "detect", "track", "classify", "write"} <= set(stages)
    assert (report["frames"], report["passes"], report["warm_up_frames"]) == (30, 2, 25)
    assert len(stages["decode"]["times_ms"]) == len(report["frame_ms"]["times_ms"]) == 30
    assert report["frame_ms"]["p90"] == pytest.approx(np.percentile(report["frame_ms"]["times_ms"], 90), rel=1e-3)
    assert report["fps"] == pytest.approx(30_000 / sum(report["frame_ms"]["times_ms"]), rel=1e-3)
    assert report["peak_memory_mb"] > 10
    assert len(report["start_ms"]["times_ms"]) == 3
    assert report["model"]["name"] == "tiny"
    assert report["threads"] == {"opencv": 1, "model": 1}
    assert report["machine"]["usable_cores"] >= 1
    for text in ("25 warm-up frames", "p99", "frames/s", "first result", report["model"]["sha256"], "onnxruntime"):
        assert text in done.stdout
    assert [f"edgeinfer: warning: the machine was noisy: {w}" for w in report["noise"]["warnings"]] == (
        done.stderr.splitlines()
    )


@pytest.mark.parametrize(
    ("source", "options", "code"),
    [
        pytest.param("nowhere.mp4", [], 4, id="no-source"),
        pytest.param(None, ["--json", "none/b.json"], 6, id="no-folder"),
        pytest.param(None, ["--detector-model", "x.onnx"], 2, id="detector-model-of-haar"),
        pytest.param(None, ["--model", "none.onnx"], 5, id="no-model"),
    ],
)
def test_invalid_benchmark_prints_one_line(clip: Path, source: str | None, options: list[str], code: int) -> None:
    done = edgeinfer("bench", source or clip, *options)
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (code, 1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_table_is_printed_despite_a_full_disk(face_picture: Path) -> None:
    done = edgeinfer("bench", face_picture, "--max-frames", "2", "--detector", "none", "--json", "/dev/full")
    assert done.returncode == 6
    assert "frames/s" in done.stdout
    assert "No space left" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("times", "switches", "load", "message"),
    [
        pytest.param(STEADY, 5, 0.5, None, id="quiet"),
        pytest.param(STEADY, 5, None, None, id="load-unknown"),
        pytest.param((*STEADY[:24], *[1.5] * 6), 0, 0.0, "1.50 times its median", id="spread"),
        pytest.param((*STEADY[:15], *[1.15] * 15), 0, 0.0, "1.15 times as long at the end", id="slower"),
        pytest.param((*[1.15] * 15, *STEADY[:15]), 0, 0.0, "0.87 times as long at the end", id="faster"),
        pytest.param(STEADY, 1000, 0.0, "preempted 100 times per second", id="switches"),
        pytest.param(STEADY, 0, 4.0, "4.0 on 4 cores", id="load"),
    ],
)
def test_noise_warnings(times: tuple[float, ...], switches: int, load: float | None, message: str) -> None:
    warnings = Noise(Measurement("reference", times), switches, 10.0, load, 4).warnings
    if message is None:
        assert warnings == ()
    else:
        assert any(message in sentence for sentence in warnings), warnings


def test_source_is_repeated_until_enough_frames_are_measured(
    clip: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    resets = []
    reset = Pipeline.reset

    def counted(pipeline: Pipeline) -> None:
        resets.append(pipeline)
        reset(pipeline)

    monkeypatch.setattr(Pipeline, "reset", counted)
    monkeypatch.setattr(bench, "_measure_starts", lambda *_: Measurement("start", (1.0,)))
    report = bench.benchmark(
        clip,
        model=ModelOptions(model=str(tiny_model)),
        detection=DetectionOptions(detector="none"),
        max_frames=60,
    )
    assert (report.frames, report.passes, report.faces, report.size_wh) == (60, 3, 60, (320, 240))
    assert len(resets) >= 4  # creation, warm-up and each pass: tracks of an earlier pass are dropped


def test_command_and_function_have_the_same_default() -> None:
    assert inspect.signature(cli_inspect.bench).parameters["max_frames"].default == bench.FRAMES
