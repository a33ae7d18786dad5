"""SIGINT and SIGTERM in every phase of a program."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from edgeinfer.system import interrupts
from edgeinfer.system.interrupts import Interrupted
from tools.patience import PATIENCE
from tools.programs import running

SIGNALS = pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])


@pytest.fixture
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    interrupts.install_signal_handlers()
    yield
    interrupts.remove_signal_handlers()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_handlers")
@SIGNALS
def test_check_raises_once_after_an_interruption(number: signal.Signals, code: int) -> None:
    interrupts.check()
    assert interrupts.closing_limit_s(10) == 10
    interrupts.interrupt(number)
    assert interrupts.is_interrupted()
    with pytest.raises(Interrupted) as interruption:
        interrupts.check()
    assert interruption.value.exit_code == code
    interrupts.check()
    assert interrupts.closing_limit_s(10) == interrupts.CLOSING_S


@pytest.mark.usefixtures("_handlers")
def test_guarded_block_is_not_entered_after_an_interruption() -> None:
    interrupts.interrupt(signal.SIGTERM)
    with pytest.raises(Interrupted), interrupts.guarded():
        pytest.fail("entered")


def test_waiting_loops_check_only_if_handlers_are_installed() -> None:
    assert not interrupts.are_checked()
    interrupts.check()


UNGUARDED = """
import time
from edgeinfer.system import interrupts
interrupts.install_signal_handlers("program")
print("ready", flush=True)
time.sleep(60)
"""
BLOCKED = """
import os, sys
from edgeinfer.system import interrupts
interrupts.install_signal_handlers("program")
reader, writer = os.pipe()
with interrupts.guarded():
    print("ready", flush=True)
    while True:
        os.write(writer, bytes(4096))
"""
FINALIZER = """
import os, signal, sys, time
from edgeinfer.system import interrupts
interrupts.install_signal_handlers("program")
class Finalized:
    def __del__(self):
        sys.stdin.read()
try:
    with interrupts.guarded():
        print("ready", flush=True)
        Finalized()
        time.sleep(0.1)
        interrupts.check()
except interrupts.Interrupted as end:
    print("closed", flush=True)
    raise SystemExit(end.exit_code)
"""
INFERENCE = """
import threading
from edgeinfer.system import interrupts
interrupts.install_signal_handlers("program")
cancelled = threading.Event()
interrupts.on_interrupt(cancelled.set)
try:
    with interrupts.guarded():
        print("ready", flush=True)
        cancelled.wait()
        interrupts.check()
except interrupts.Interrupted as end:
    print("closed", flush=True)
    raise SystemExit(end.exit_code)
"""
CLOSING = """
import time
from edgeinfer.system import interrupts
interrupts.install_signal_handlers("program")
try:
    with interrupts.guarded():
        print("ready", flush=True)
        while True:
            interrupts.check()
            time.sleep(0.01)
except interrupts.Interrupted as end:
    print("closed", flush=True)
    raise SystemExit(end.exit_code)
"""


@pytest.mark.slow
@SIGNALS
@pytest.mark.parametrize(
    ("script", "output", "message"),
    [
        pytest.param(UNGUARDED, "", "program: interrupted\n", id="before-the-loop"),
        pytest.param(BLOCKED, "", "program: interrupted; some outputs may be incomplete\n", id="blocked-write"),
        pytest.param(CLOSING, "closed\n", "", id="in-the-loop"),
        pytest.param(INFERENCE, "closed\n", "", id="cancelled-inference"),
        pytest.param(FINALIZER, "closed\n", "", id="inside-a-finalizer"),
    ],
)
def test_signal_ends_a_program_in_time(
    script: str, output: str, message: str, number: signal.Signals, code: int
) -> None:
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with running([sys.executable, "-c", script], **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        started_s = time.monotonic()
        process.send_signal(number)
        left, errors = process.communicate(timeout=30 * PATIENCE)
    assert process.returncode == code
    assert (left, errors) == (output, message)
    assert time.monotonic() - started_s < interrupts.GRACE_S + 10 * PATIENCE


def test_signal_before_the_watchdog_starts_ends_the_process() -> None:
    code = (
        "import os, signal, time\nfrom edgeinfer.system import interrupts\ncreate = interrupts._Watchdog\n"
        "def interrupt(program):\n    os.kill(os.getpid(), signal.SIGTERM)\n    return create(program)\n"
        "interrupts._Watchdog = interrupt\ninterrupts.install_signal_handlers()\ntime.sleep(60)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=50)
    assert (done.returncode, done.stderr) == (143, "edgeinfer: interrupted\n")


@pytest.mark.parametrize("delay_s", [0.05, 0.15, 0.3])
def test_signal_during_start_up_prints_no_traceback(delay_s: float) -> None:
    command = [sys.executable, "-c", "from edgeinfer.__main__ import main; main()", "run", "--quiet"]
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        time.sleep(delay_s)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30 * PATIENCE)
    if "interrupted" in errors:  # else the interpreter itself was still starting
        assert process.returncode == 130
        assert "Traceback" not in errors
        assert errors.count("\n") == 1
