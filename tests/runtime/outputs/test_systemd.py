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

from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.outputs.systemd import SystemdSink, notify
from edgeinfer.results import Frame, Result, SourceState, State
from edgeinfer.system.interrupts import Interrupted, Reload
from tools.patience import PATIENCE
from tools.programs import running

FRAME = Frame(np.zeros((2, 2, 3), np.uint8), 0, 0.0)
RESULT = Result((), 0.0)


class FakeManager:
    """Fake service manager with a clock.

    Attributes:
        now_s: current time, in seconds.
        notifications: received notifications, each a tuple of assignments.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self.notifications: list[tuple[str, ...]] = []

    def receive(self, *assignments: str) -> None:
        self.notifications.append(assignments)

    def count(self, assignment: str) -> int:
        return sum(assignment in notification for notification in self.notifications)


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> FakeManager:
    monkeypatch.setenv("WATCHDOG_USEC", "8000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    return FakeManager()


@pytest.fixture
def sink(manager: FakeManager) -> SystemdSink:
    return SystemdSink(send=manager.receive, clock=lambda: manager.now_s)


@pytest.fixture(params=["path", "abstract"])
def notify_socket(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@edgeinfer-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(name.replace("@", "\0", 1) if name.startswith("@") else name)
        channel.settimeout(60 * PATIENCE)
        yield channel


def test_notification_arrives_at_the_socket(notify_socket: socket.socket) -> None:
    notify("READY=1", "STATUS=über")
    assert notify_socket.recv(1000).decode() == "READY=1\nSTATUS=über"


@pytest.mark.parametrize("address", [None, "", "/nowhere/at/all", "vsock:2:1"])
def test_notify_without_a_socket_does_nothing(monkeypatch: pytest.MonkeyPatch, address: str | None) -> None:
    if address is None:
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    else:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("READY=1")


def test_start_reports_the_source_on_one_line(manager: FakeManager, sink: SystemdSink) -> None:
    sink.start(RunHeader("first\nsecond", None, (), "", "", {}), lambda: RunSummary(0, 0, {}, 0.0, {}))
    assert manager.notifications == [("STATUS=reading first second",)]


def test_frames_reset_the_watchdog_at_intervals(manager: FakeManager, sink: SystemdSink) -> None:
    for _ in range(21):  # ten seconds
        sink.write(FRAME, RESULT)
        manager.now_s += 0.5
    assert manager.count("READY=1") == 1
    assert manager.count("WATCHDOG=1") == 6  # at 0, 2, 4, 6, 8 and 10 s, every quarter of the watchdog timeout
    assert manager.notifications[0][-1] == "STATUS=1 frames"
    assert manager.notifications[-1][-1] == "STATUS=21 frames, 2.0 frames/s"


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
def test_only_finished_attempts_reset_the_watchdog(
    manager: FakeManager, sink: SystemdSink, states: list[State], ready: int, alive: int
) -> None:
    for state in states:
        sink.source_state(SourceState(state, 0.0, "again\nin 4 s"))
    assert (manager.count("READY=1"), manager.count("WATCHDOG=1")) == (ready, alive)
    assert manager.notifications[-1][-1] == f"STATUS={states[-1]}: again in 4 s"


@pytest.mark.parametrize(
    ("exception", "assignment"),
    [(None, "STOPPING=1"), (Interrupted(15), "STOPPING=1"), (Reload(None), "RELOADING=1")],
    ids=["end", "signal", "reload"],
)
def test_exit_reports_stopping_or_reloading(
    manager: FakeManager, sink: SystemdSink, exception: BaseException | None, assignment: str
) -> None:
    sink.__exit__(type(exception) if exception else None, exception, None)
    assert manager.notifications[-1][0] == assignment


@pytest.mark.parametrize(("watchdog", "pid"), [("8000000", "1"), ("0", None), ("no", None)])
def test_foreign_or_missing_watchdog_is_ignored(
    manager: FakeManager, monkeypatch: pytest.MonkeyPatch, watchdog: str, pid: str | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", watchdog)
    if pid:
        monkeypatch.setenv("WATCHDOG_PID", pid)
    sink = SystemdSink(send=manager.receive, clock=lambda: manager.now_s)
    for _ in range(21):
        sink.write(FRAME, RESULT)
        manager.now_s += 0.5
    assert manager.count("WATCHDOG=1") == 2  # with the status, every ten seconds


def test_run_notifies_the_service_manager(notify_socket: socket.socket, tmp_path: Path, face_picture: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    first = folder / "0000.jpg"
    first.write_bytes(face_picture.read_bytes())
    for index in range(1, 2000):
        (folder / f"{index:04}.jpg").hardlink_to(first)
    command = [sys.executable, "-m", "edgeinfer", "run", str(folder), "--quiet"]
    with running(command, stderr=subprocess.DEVNULL, env={**os.environ, "WATCHDOG_USEC": "400000"}) as process:

        def receive_until(assignment: str) -> None:
            deadline = time.monotonic() + 60 * PATIENCE
            while assignment not in notify_socket.recv(1000).decode().splitlines():
                assert time.monotonic() < deadline

        receive_until("READY=1")
        receive_until("WATCHDOG=1")
        process.send_signal(signal.SIGHUP)
        receive_until("RELOADING=1")
        receive_until("READY=1")
        process.send_signal(signal.SIGTERM)
        receive_until("STOPPING=1")
        assert process.wait(60 * PATIENCE) == 143
