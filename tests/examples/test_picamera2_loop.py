"""Test of the picamera2 example with a fake camera, stopped with Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tools.patience import PATIENCE, until
from tools.programs import running


def test_events_have_camera_timestamps(clip: Path, examples: Path, tmp_path: Path) -> None:
    log, out = tmp_path / "log", tmp_path / "out"
    variables = {"PYTHONPATH": Path(__file__).parent / "fakes", "FAKE_CAMERA_CLIP": clip, "FAKE_CAMERA_LOG": log}
    environment = {**os.environ, **{name: str(value) for name, value in variables.items()}}
    command = [sys.executable, str(examples / "picamera2_loop.py")]
    with (
        out.open("w") as output,
        running(command, env=environment, stdout=output, stderr=subprocess.PIPE) as process,
    ):
        until(lambda: "\n" in out.read_text() or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60 * PATIENCE)[1] == ""
    assert process.returncode == 0
    assert out.read_text().splitlines()[0] == "5000.00 s: face 1 appeared, happy"
    assert log.read_text() == "closed, 0 requests pending"
