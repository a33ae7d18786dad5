"""Reconnection to an MJPEG server on the loopback interface, through the library and the command line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgeinfer import Box, EmotionClassifier, Pipeline, SourceLostError, open_source
from edgeinfer.results import SourceState
from edgeinfer.sources.live import LiveSource
from edgeinfer.sources.retry import Patience
from tools.cli import edgeinfer
from tools.fakes import FakeDetector
from tools.mjpeg_server import Behaviour, MjpegServer
from tools.patience import PATIENCE, until
from tools.programs import running

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeinfer.sources.live.backoff_s", lambda failures: 0.01)


FAILURES: tuple[tuple[Behaviour, Behaviour], ...] = (
    ("die", "play"),
    ("stall", "play"),
    ("garbage", "play"),
    ("die", "refuse"),
)
"""Behaviours of the server: one that breaks the connection, and one for the first new connection."""


class FaultInjector:
    """Injector that makes a server fail in several ways and restores it with wider pictures after each loss.

    Attributes:
        done: True once all failures were used.
        states: States of the source so far.
    """

    def __init__(self, server: MjpegServer) -> None:
        self._server = server
        self._failures = iter(FAILURES)
        self._after_loss: Behaviour = "play"
        self.done = False
        self.states: list[str] = []

    def fail(self) -> None:
        """Start the next failure."""
        failure = next(self._failures, None)
        if failure is None:
            self.done = True
        else:
            self._server.behaviour, self._after_loss = failure

    def on_state(self, change: SourceState) -> None:
        self.states.append(change.state)
        if change.state in ("stalled", "lost"):
            width, height = self._server.size_wh
            self._server.size_wh = (width + 16, height)
            self._server.behaviour, self._after_loss = self._after_loss, "play"


def test_stream_is_reopened_after_every_kind_of_failure(classifier: EmotionClassifier) -> None:
    pipeline = Pipeline(FakeDetector([Box(5, 5, 20, 20)]), classifier)
    policy = Patience(stall_s=0.5 * PATIENCE, open_s=10.0 * PATIENCE, retries=100)
    sizes: set[tuple[int, ...]] = set()
    indices: list[int] = []
    with MjpegServer() as server, open_source(server.url, patience=policy) as source:
        assert isinstance(source, LiveSource)
        faults = FaultInjector(server)
        source.listener = faults.on_state
        for frame in source:
            pipeline(frame.image, timestamp_s=frame.timestamp_s)
            sizes.add(frame.image.shape)
            indices.append(frame.index)
            if len(indices) % 5 == 0 and server.behaviour == "play":
                faults.fail()
                if faults.done:
                    break
    assert source.reconnects >= 3
    assert "stalled" in faults.states
    assert "lost" in faults.states
    assert len(sizes) >= 3
    assert indices == sorted(indices)


def run_arguments(*arguments: str | Path, retries: str) -> list[str]:
    return ["run", *map(str, arguments), "--detector", "none", "--retries", retries]


def lines_of(path: Path, kind: str) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [line for line in map(json.loads, text.splitlines()) if line["type"] == kind]


@contextmanager
def when(condition: Callable[[], object], action: Callable[[], object]) -> Iterator[None]:
    """Perform an action in another thread as soon as a condition holds."""

    def wait_and_act() -> None:
        until(condition)
        action()

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def test_command_ends_with_4_if_the_source_was_never_available(tmp_path: Path) -> None:
    out = tmp_path / "x.jsonl"
    done = edgeinfer(*run_arguments("http://127.0.0.1:9/none", "--out", out, retries="1"))
    assert done.returncode == 4
    assert "cannot be opened" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_command_ends_with_7_and_complete_outputs_if_the_server_stops(tmp_path: Path) -> None:
    out = tmp_path / "x.jsonl"
    with (
        MjpegServer() as server,
        when(lambda: lines_of(out, "frame"), lambda: setattr(server, "behaviour", "die")),
    ):
        done = edgeinfer(*run_arguments(server.url, "--out", out, retries="1"))
    assert done.returncode == 7
    assert "could not be reopened" in done.stderr.splitlines()[-1]
    assert "increase --retries" in done.stderr.splitlines()[-1]
    assert [line["state"] for line in lines_of(out, "source")] == ["connecting", "live", "lost", "connecting", "lost"]
    summary = lines_of(out, "summary")[0]
    assert summary["frames"] == len(lines_of(out, "frame"))
    assert summary["reconnects"] == 0


@pytest.mark.parametrize("behaviour", ["stall", "die"], ids=["during-a-hanging-read", "during-the-backoff"])
def test_signal_ends_the_command_immediately(tmp_path: Path, behaviour: Behaviour) -> None:
    out = tmp_path / "x.jsonl"
    command = [sys.executable, "-m", "edgeinfer"]
    with MjpegServer() as server:
        arguments = run_arguments(server.url, "--out", out, retries="forever")
        with running([*command, *arguments], stderr=subprocess.PIPE) as process:
            until(lambda: lines_of(out, "frame"))
            server.behaviour = behaviour
            if behaviour == "die":
                until(lambda: len(lines_of(out, "source")) >= 4)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30 * PATIENCE)
    assert process.returncode == 130
    assert len(lines_of(out, "summary")) == 1


def test_command_waits_for_a_camera_that_appears_later(tmp_path: Path) -> None:
    out = tmp_path / "x.jsonl"
    with MjpegServer() as server:
        server.behaviour = "refuse"
        with when(lambda: len(lines_of(out, "source")) >= 2, lambda: setattr(server, "behaviour", "play")):
            done = edgeinfer(*run_arguments(server.url, "--out", out, "--max-frames", "3", retries="forever"))
    assert done.returncode == 0
    assert len(lines_of(out, "frame")) == 3


def test_recovery_from_a_loss_is_printed() -> None:
    def interrupt_the_server() -> None:
        connections = server.connections
        server.behaviour = "die"
        until(lambda: server.connections > connections)
        server.behaviour = "play"

    with MjpegServer(fps=100) as server, when(lambda: server.pictures_sent >= 30, interrupt_the_server):
        done = edgeinfer(*run_arguments(server.url, "--quiet", "--max-frames", "60", retries="forever"))
    assert done.returncode == 0
    states = [line.split(": ")[1] for line in done.stderr.splitlines() if line.startswith("edgeinfer: ")]
    assert states[0] == "lost"
    assert states[-1] == "live"


def test_credentials_are_neither_logged_nor_raised(caplog: pytest.LogCaptureFixture) -> None:
    with MjpegServer() as server:
        url = server.url.replace("http://", "http://me:secret@") + "?key=secret"
        with open_source(url, patience=Patience(retries=0)) as source:
            assert "secret" not in source.name
            server.behaviour = "die"
            with caplog.at_level("DEBUG"), pytest.raises(SourceLostError) as error:
                list(source)
    assert "secret" not in caplog.text + str(error.value) + repr(error.value.__cause__)
    assert "lost" in caplog.text
