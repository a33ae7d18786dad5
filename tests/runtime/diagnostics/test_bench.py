from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeinfer import Pipeline
from edgeinfer.cli import inspect as cli_inspect
from edgeinfer.diagnostics import bench
from edgeinfer.diagnostics.measurement import Measurement, Noise
from tools.patience import PATIENCE

STEADY = (1.0,) * 30


def edgeinfer(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgeinfer", "bench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120 * PATIENCE, check=False)


def test_the_raw_times_are_kept_and_the_percentiles_derived(clip: Path, tmp_path: Path, tiny_model: Path) -> None:
    done = edgeinfer(clip, "--max-frames", "30", "--json", tmp_path / "b.json", "--model", tiny_model, "--threads", "1")
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "b.json").read_text())
    stages = told["stages_ms"]
    assert {"decode", "detect", "track", "classify", "write"} <= set(stages)
    assert (told["frames"], told["passes"], told["warm_up_frames"]) == (30, 2, 25)
    assert len(stages["decode"]["times_ms"]) == len(told["frame_ms"]["times_ms"]) == 30
    assert told["frame_ms"]["p90"] == pytest.approx(np.percentile(told["frame_ms"]["times_ms"], 90), rel=1e-3)
    assert told["fps"] == pytest.approx(30_000 / sum(told["frame_ms"]["times_ms"]), rel=1e-3)
    assert told["peak_memory_mb"] > 10
    assert len(told["start_ms"]["times_ms"]) == 3
    assert told["model"]["name"] == "tiny"
    assert told["threads"] == {"opencv": 1, "model": 1}
    assert told["machine"]["usable_cores"] >= 1
    for text in ("25 frames to warm up", "p99", "frames/s", "first result", told["model"]["sha256"], "onnxruntime"):
        assert text in done.stdout
    assert [f"edgeinfer: warning: the machine was noisy: {w}" for w in told["noise"]["warnings"]] == (
        done.stderr.splitlines()
    )


@pytest.mark.parametrize(
    ("source", "options", "code"),
    [
        pytest.param("nowhere.mp4", [], 4, id="no-source"),
        pytest.param(None, ["--json", "none/b.json"], 6, id="no-folder"),
        pytest.param(None, ["--detector", "yunet"], 2, id="no-detector-model"),
        pytest.param(None, ["--model", "none.onnx"], 5, id="no-model"),
    ],
)
def test_what_cannot_be_measured(clip: Path, source: str | None, options: list[str], code: int) -> None:
    done = edgeinfer(source or clip, *options)
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (code, 1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_does_not_lose_the_table(face_picture: Path) -> None:
    done = edgeinfer(face_picture, "--max-frames", "2", "--detector", "none", "--json", "/dev/full")
    assert done.returncode == 6
    assert "frames/s" in done.stdout
    assert "No space left" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("times", "switches", "load", "said"),
    [
        pytest.param(STEADY, 5, 0.5, None, id="quiet"),
        pytest.param(STEADY, 5, None, None, id="load-unknown"),
        pytest.param((*STEADY[:24], *[1.5] * 6), 0, 0.0, "1.50 times its median", id="spread"),
        pytest.param((*STEADY[:15], *[1.15] * 15), 0, 0.0, "1.15 times as long at the end", id="slower"),
        pytest.param((*[1.15] * 15, *STEADY[:15]), 0, 0.0, "0.87 times as long at the end", id="faster"),
        pytest.param(STEADY, 1000, 0.0, "100 times a second", id="switches"),
        pytest.param(STEADY, 0, 4.0, "4.0 programs wanted 4 cores", id="load"),
    ],
)
def test_what_makes_a_machine_noisy(times: tuple[float, ...], switches: int, load: float | None, said: str) -> None:
    warnings = Noise(Measurement("reference", times), switches, 10.0, load, 4).warnings
    if said is None:
        assert warnings == ()
    else:
        assert any(said in sentence for sentence in warnings), warnings


def test_a_source_is_read_again_until_there_are_enough_frames(
    clip: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    resets = []
    reset = Pipeline.reset

    def counted(pipeline: Pipeline) -> None:
        resets.append(pipeline)
        reset(pipeline)

    monkeypatch.setattr(Pipeline, "reset", counted)
    monkeypatch.setattr(bench, "_starts", lambda *_: Measurement("start", (1.0,)))
    report = bench.benchmark(clip, model=tiny_model, detector="none", max_frames=60)
    assert (report.frames, report.passes, report.faces, report.size_wh) == (60, 3, 60, (320, 240))
    assert len(resets) >= 4  # made, warmed up, and once a pass: faces of an earlier pass are forgotten


def test_the_default_of_the_command_is_that_of_the_function() -> None:
    assert cli_inspect.bench.__defaults__ is not None
    assert bench.FRAMES in cli_inspect.bench.__defaults__
