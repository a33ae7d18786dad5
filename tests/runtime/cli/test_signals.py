"""SIGINT and SIGTERM while a run waits for another program."""

from __future__ import annotations

import array
import fcntl
import os
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tools.patience import PATIENCE, until
from tools.programs import running

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "edgeinfer", "run"]
LIMIT_S = 2.0
SIGNALS = pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])


def end(process: subprocess.Popen[str], number: signal.Signals, code: int) -> str:
    """Send a signal and check the exit code and the time; return stderr."""
    started_s = time.monotonic()
    process.send_signal(number)
    assert process.wait(30 * PATIENCE) == code
    assert time.monotonic() - started_s < LIMIT_S * PATIENCE + 3, "slower than the limit and a loaded machine"
    return process.stderr.read() if process.stderr else ""


@SIGNALS
def test_signal_while_stdin_is_silent_closes_the_outputs(tmp_path: Path, number: signal.Signals, code: int) -> None:
    command = [*COMMAND, "-", "--out", str(tmp_path / "a.jsonl"), "--quiet"]
    with running(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        until((tmp_path / "a.jsonl").exists)
        assert "Traceback" not in end(process, number, code)


@SIGNALS
def test_signal_while_the_reader_of_stdout_is_stalled(clip: Path, number: signal.Signals, code: int) -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    with running([*COMMAND, str(clip), "--out", "-", "--quiet"], stdout=writer, stderr=subprocess.PIPE) as process:
        os.close(writer)
        until(lambda: _has_data(reader))
        assert "Traceback" not in end(process, number, code)
    os.close(reader)


def _has_data(reader: int) -> bool:
    """Return True if a pipe of one page contains data, so that it accepts no further line."""
    unread = array.array("i", [0])
    fcntl.ioctl(reader, termios.FIONREAD, unread)
    return unread[0] > 0


@SIGNALS
def test_signal_while_a_fifo_has_no_reader(clip: Path, tmp_path: Path, number: signal.Signals, code: int) -> None:
    os.mkfifo(tmp_path / "fifo.jsonl")
    command = [*COMMAND, str(clip), "--out", str(tmp_path / "fifo.jsonl"), "--quiet"]
    with running(command, stderr=subprocess.PIPE) as process:
        until(lambda: "cv2" in Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8"))
        time.sleep(0.5)
        assert "Traceback" not in end(process, number, code)
