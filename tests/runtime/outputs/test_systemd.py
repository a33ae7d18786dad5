from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.outputs.systemd import SystemdSink, notify
from edgeinfer.results import Frame, Result, SourceState, State
from edgeinfer.system.interrupts import Interrupted, Reload
from tools.patience import PATIENCE
from tools.programs import running

FRAME = Frame(np.zeros((2, 2, 3), np.uint8), 0, 0.0)
RESULT = Result((), 0.0)


class Manager:
    """Takes what is told; its clock stands still until a test moves it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.told: list[tuple[str, ...]] = []

    def tell(self, *assignments: str) -> None:
        self.told.append(assignments)

    def count(self, assignment: str) -> int:
        return sum(assignment in told for told in self.told)


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Manager:
    monkeypatch.setenv("WATCHDOG_USEC", "8000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    return Manager()


@pytest.fixture
def sink(manager: Manager) -> SystemdSink:
    return SystemdSink(tell=manager.tell, clock=lambda: manager.now_s)


@pytest.fixture(params=["path", "abstract"])
def listener(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@edgeinfer-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(name.replace("@", "\0", 1) if name.startswith("@") else name)
        channel.settimeout(60 * PATIENCE)
        yield channel


def test_what_is_told_arrives(listener: socket.socket) -> None:
    notify("READY=1", "STATUS=über")
    assert listener.recv(1000).decode() == "READY=1\nSTATUS=über"


@pytest.mark.parametrize("address", [None, "", "/nowhere/at/all", "vsock:2:1"])
def test_without_a_listener_nothing_happens(monkeypatch: pytest.MonkeyPatch, address: str | None) -> None:
    if address is None:
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    else:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("READY=1")


def test_frames_are_signs_of_life_but_not_each_of_them(manager: Manager, sink: SystemdSink) -> None:
    for _ in range(21):  # ten seconds
        sink.write(FRAME, RESULT)
        manager.now_s += 0.5
    assert manager.count("READY=1") == 1
    assert manager.count("WATCHDOG=1") == 6  # at 0, 2, 4, 6, 8 and 10 s, a quarter of the watchdog's time apart
    assert manager.told[0][-1] == "STATUS=1 frames"
    assert manager.told[-1][-1] == "STATUS=21 frames, 2.0 frames/s"


@pytest.mark.parametrize(
    ("states", "ready", "alive"),
    [
        pytest.param(["connecting"], 0, 0, id="first-attempt"),
        pytest.param(["connecting", "live"], 0, 0, id="no-frame-yet"),
        pytest.param(["connecting", "lost"], 1, 1, id="failed-attempt"),
        pytest.param(["connecting", "connecting", "connecting"], 1, 2, id="attempts"),
        pytest.param(["connecting", "live", "stalled", "stalled"], 0, 0, id="stalled"),
    ],
)
def test_only_attempts_that_ended_are_signs_of_life(
    manager: Manager, sink: SystemdSink, states: list[State], ready: int, alive: int
) -> None:
    for state in states:
        sink.source_state(SourceState(state, 0.0, "again\nin 4 s"))
    assert (manager.count("READY=1"), manager.count("WATCHDOG=1")) == (ready, alive)
    assert manager.told[-1][-1] == f"STATUS={states[-1]}: again in 4 s"


@pytest.mark.parametrize(
    ("end", "told"),
    [(None, "STOPPING=1"), (Interrupted(15), "STOPPING=1"), (Reload(None), "RELOADING=1")],
    ids=["end", "signal", "reload"],
)
def test_the_end_is_told(manager: Manager, sink: SystemdSink, end: BaseException | None, told: str) -> None:
    sink.__exit__(type(end) if end else None, end, None)
    assert manager.told[-1][0] == told


@pytest.mark.parametrize(("watchdog", "pid"), [("8000000", "1"), ("0", None), ("no", None)])
def test_a_watchdog_of_another_process_or_none_at_all(
    manager: Manager, monkeypatch: pytest.MonkeyPatch, watchdog: str, pid: str | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", watchdog)
    if pid:
        monkeypatch.setenv("WATCHDOG_PID", pid)
    sink = SystemdSink(tell=manager.tell, clock=lambda: manager.now_s)
    for _ in range(21):
        sink.write(FRAME, RESULT)
        manager.now_s += 0.5
    assert manager.count("WATCHDOG=1") == 2  # the status, each ten seconds


def test_a_run_tells_systemd(listener: socket.socket, tmp_path: Path, face_picture: Path) -> None:
    for index in range(2000):
        (tmp_path / f"{index:04}.jpg").write_bytes(face_picture.read_bytes())
    command = [sys.executable, "-m", "edgeinfer", "run", str(tmp_path), "--quiet"]
    with running(command, stderr=subprocess.DEVNULL, env={**os.environ, "WATCHDOG_USEC": "400000"}) as process:
        told: list[str] = []

        def hear(assignment: str) -> None:
            deadline = time.monotonic() + 60 * PATIENCE
            while not told or assignment not in told[-1].splitlines():
                assert time.monotonic() < deadline
                told.append(listener.recv(1000).decode())

        hear("READY=1")
        hear("WATCHDOG=1")
        process.send_signal(signal.SIGHUP)
        hear("RELOADING=1")
        hear("READY=1")
        process.send_signal(signal.SIGTERM)
        hear("STOPPING=1")
        assert process.wait(60 * PATIENCE) == 143
