"""Tests of the experiment log with a clip that plays in real time, with and without a fake PsychoPy."""

from __future__ import annotations

import contextlib
import csv
import runpy
import subprocess
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import edgeinfer

Run = Callable[..., subprocess.CompletedProcess[str]]
FAKES = Path(__file__).parent / "fakes"


@pytest.mark.slow
@pytest.mark.parametrize("psychopy", [True, False])
def test_each_frame_belongs_to_the_stimulus_at_its_capture(
    psychopy: bool, clip: Path, examples: Path, run: Run, tmp_path: Path
) -> None:
    picture = tmp_path / "größe.png"
    picture.touch()
    trials, log = tmp_path / "trials.csv", tmp_path / "log.csv"
    trials.write_text(f"stimulus,duration_s\n+,0.3\n{picture},0.3\n", encoding="utf-8")
    path = {"PYTHONPATH": FAKES} if psychopy else {}
    done = run("-X", "utf8", examples / "experiment_log.py", trials, log, "--source", clip, **path)
    assert (done.returncode, done.stderr) == (0, "")
    shown = ["shown text +", f"shown picture {picture}"] if psychopy else ["+", str(picture)]
    assert done.stdout.splitlines() == shown

    with log.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows  # a slow machine drops most frames
    captured_s = [float(row["captured_s"]) for row in rows]
    assert all(0 < after - before < 10 for before, after in pairwise(captured_s))
    onsets = {int(row["trial"]): float(row["onset_s"]) for row in rows}
    for row, at_s in zip(rows, captured_s, strict=True):
        assert int(row["trial"]) == max(trial for trial, onset_s in onsets.items() if onset_s <= at_s)
        assert row["stimulus"] == ["", "+", str(picture)][int(row["trial"])]
        assert float(row["since_onset_s"]) == pytest.approx(at_s - float(row["onset_s"]), abs=2e-4)
    faces = [row for row in rows if row["track"]]
    assert faces
    assert all(row["label"] == "happy" and float(row["happy"]) > 0.5 for row in faces)


def test_missing_source_ends_the_experiment(examples: Path, run: Run, tmp_path: Path) -> None:
    trials = tmp_path / "trials.csv"
    trials.write_text("stimulus,duration_s\n+,0\n", encoding="utf-8")
    done = run(examples / "experiment_log.py", trials, tmp_path / "log.csv", "--source", tmp_path / "none.mp4")
    assert (done.returncode, done.stdout) == (1, "")  # no stimulus was shown
    assert "SourceNotFoundError" in done.stderr


def test_lost_camera_ends_the_experiment_at_the_next_trial(
    examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expression_log = runpy.run_path(str(examples / "experiment_log.py"))["ExpressionLog"]
    lost = threading.Event()

    def frames() -> Iterator[edgeinfer.Frame]:
        yield edgeinfer.Frame(np.zeros((48, 48, 3), np.uint8), 0, 0.0)
        lost.wait(30)
        raise edgeinfer.SourceLostError("camera 0 was lost")

    monkeypatch.setattr(edgeinfer, "open_source", lambda *_, **__: contextlib.nullcontext(frames()))
    log = expression_log(tmp_path / "log.csv", "0").__enter__()
    log.mark(1, "+", 0.0)
    lost.set()
    log._thread.join()
    with pytest.raises(edgeinfer.SourceLostError, match="camera 0 was lost"):
        log.mark(2, "+", 0.0)
