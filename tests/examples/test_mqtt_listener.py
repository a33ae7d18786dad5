"""Tests of the MQTT example with a real broker and messages in the format of edgeinfer."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.patience import PATIENCE, until
from tools.programs import require_program, running

client = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed")
Run = Callable[..., subprocess.CompletedProcess[str]]
BASE = "edgeinfer/kitchen"
EVENT = {
    "type": "changed", "source": "0", "at": "2026-01-01T12:00:00.000+00:00", "track_id": 3, "timestamp_s": 4.2,
    "label": "happy", "confidence": 0.9, "previous": "neutral", "present_s": 2.0,
}  # fmt: skip


def accepts_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[int]:
    """Yield the port of a Mosquitto broker with one user, "ann", whose password is "secret"."""
    program = require_program("mosquitto")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    passwords, settings = tmp_path / "passwords", tmp_path / "settings"
    subprocess.run([require_program("mosquitto_passwd"), "-b", "-c", passwords, "ann", "secret"], check=True)
    settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\nuser root\n")
    with running([program, "-c", str(settings)], stderr=subprocess.DEVNULL) as process:
        until(lambda: accepts_connections(port))
        yield port
        process.terminate()


def publish(port: int, *messages: tuple[str, str, bool]) -> None:
    sender = client.Client(client.CallbackAPIVersion.VERSION2)
    sender.username_pw_set("ann", "secret")
    sender.connect("127.0.0.1", port)
    sender.loop_start()
    for topic, text, retained in messages:
        sender.publish(f"{BASE}/{topic}", text, qos=1, retain=retained).wait_for_publish(60 * PATIENCE)
    sender.disconnect()
    sender.loop_stop()


def run_listener(examples: Path, port: int, out: Any, *, password: str = "secret") -> Any:
    command = [sys.executable, str(examples / "mqtt_listener.py"), "127.0.0.1", "--port", str(port), "--user", "ann"]
    environment = {**os.environ, "MQTT_PASSWORD": password}
    return running(command, env=environment, stdout=out, stderr=subprocess.PIPE)


def test_listener_prints_published_messages(broker: int, examples: Path, tmp_path: Path) -> None:
    publish(broker, ("availability", "online", True))
    output = tmp_path / "output"
    with output.open("w") as out, run_listener(examples, broker, out) as process:
        until(lambda: output.read_text() or process.poll() is not None)
        left = {**EVENT, "type": "left", "previous": None}
        state = {"faces": 2, "expression": "happy"}
        publish(broker, ("state", json.dumps(state), False), ("events", json.dumps(EVENT), False))
        publish(broker, ("events", json.dumps(left), False), ("availability", "offline", True))
        until(lambda: "offline" in output.read_text() or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60 * PATIENCE) == (None, "")
    assert process.returncode == 0
    assert output.read_text().splitlines() == [
        "edgeinfer/kitchen is online",
        "edgeinfer/kitchen faces: 2, expression: happy",
        "edgeinfer/kitchen face 3 changed: happy, was neutral",
        "edgeinfer/kitchen face 3 left: happy",
        "edgeinfer/kitchen is offline",
    ]


def test_listener_prints_the_messages_of_a_run(
    broker: int, clip: Path, examples: Path, run: Run, tmp_path: Path
) -> None:
    publish(broker, ("availability", "offline", True))
    output = tmp_path / "output"
    with output.open("w") as out, run_listener(examples, broker, out) as process:
        until(lambda: output.read_text() or process.poll() is not None)
        address = f"mqtt://ann:secret@127.0.0.1:{broker}/{BASE}"
        done = run("-m", "edgeinfer", "run", clip, "--mqtt", address, "--quiet")
        assert (done.returncode, done.stderr) == (0, "")
        until(lambda: output.read_text().count("offline") >= 2 or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        process.wait(60 * PATIENCE)
    lines = output.read_text().splitlines()
    assert lines[:2] == [f"{BASE} is offline", f"{BASE} is online"]
    assert f"{BASE} face 1 appeared: happy" in lines
    assert f"{BASE} face 1 left: happy" in lines
    assert f"{BASE} faces: 0, expression: none" in lines
    assert lines[-1] == f"{BASE} is offline"


def test_wrong_password_ends_the_listener(broker: int, examples: Path) -> None:
    with run_listener(examples, broker, subprocess.PIPE, password="guess") as process:
        printed, errors = process.communicate(timeout=60 * PATIENCE)
    assert (process.returncode, printed, errors) == (1, "", "the broker refused the connection: Not authorized\n")
