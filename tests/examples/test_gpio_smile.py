"""Tests of the GPIO example on mock pins, compared with the labels of each frame."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinfer.results import Image
from tools.patience import PATIENCE, until
from tools.programs import running
from tools.world import texture

pytest.importorskip("gpiozero", reason="gpiozero is not installed")
HOLD_S = 0.5
RUNNER = """
import json, runpy, sys
import edgeinfer
from gpiozero import Device

log, script, *sys.argv[1:] = sys.argv[1:]
log = open(log, "w", buffering=1)
load = edgeinfer.load_pipeline

def load_and_log():
    pipeline = load()
    def process(image, *, timestamp_s):
        log_pin()
        result = pipeline(image, timestamp_s=timestamp_s)
        labels = [face.emotion.label for face in result.faces]
        print(json.dumps({"time_s": timestamp_s, "labels": labels}), file=log)
        return result
    return process

def log_pin():
    pin = Device.pin_factory.pin(17)
    print(json.dumps({"led": bool(pin.state), "function": pin.function}), file=log)

edgeinfer.load_pipeline = load_and_log
sys.argv[0] = script
runpy.run_path(script, run_name="__main__")
log_pin()
"""


@pytest.fixture
def visit(tmp_path: Path, clip: Path) -> Path:
    """Return a clip with an empty second, a one-second smile, and two empty seconds."""
    empty = texture(3, (320, 240))
    smiles: list[Any] = []
    reader = cv2.VideoCapture(str(clip))
    while (read := reader.read())[0]:
        smiles.append(read[1])
    path = tmp_path / "visit.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (320, 240))
    for image in [empty] * 25 + smiles + [empty] * 50:
        writer.write(image)
    writer.release()
    return path


def read_log(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_led_is_lit_during_a_smile(
    visit: Path, examples: Path, run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    done = run("-c", RUNNER, log, examples / "gpio_smile.py", visit, GPIOZERO_PIN_FACTORY="mock")
    assert (done.returncode, done.stderr) == (0, "")
    before, *lines = read_log(log)
    assert before == {"led": False, "function": "output"}
    frames = list(zip(lines[::2], lines[1::2], strict=True))
    smiles_s = [frame["time_s"] for frame, _ in frames if "happy" in frame["labels"]]
    assert len(smiles_s) >= 15
    for frame, after in frames[:-1]:
        lit = any(smile_s <= frame["time_s"] < smile_s + HOLD_S for smile_s in smiles_s)
        assert after == {"led": lit, "function": "output"}, frame
    # The first face appears after one second, and the LED is off long before the end.
    assert [after["led"] for _, after in frames[:24] + frames[-20:]] == [False] * 44
    assert frames[-1][1]["function"] == "input"


def test_sigterm_turns_the_led_off(portrait: Image, examples: Path, tmp_path: Path) -> None:
    picture = np.asarray(cv2.imencode(".jpg", portrait)[1]).tobytes()
    log = tmp_path / "log"
    reading, writing = os.pipe()
    command = [sys.executable, "-c", RUNNER, str(log), str(examples / "gpio_smile.py"), "-"]
    environment = {**os.environ, "GPIOZERO_PIN_FACTORY": "mock"}
    with running(command, stdin=reading, stderr=subprocess.PIPE, env=environment) as process:
        os.close(reading)
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(picture * 3)
            pipe.flush()
            until(lambda: log.exists() and '"led": true' in log.read_text())
            process.send_signal(signal.SIGTERM)
            assert process.communicate(timeout=60 * PATIENCE)[1] == ""
    assert process.returncode == 0
    assert read_log(log)[-1]["function"] == "input"
