"""Restart of a run on SIGHUP."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from edgeinfer import UsageError
from edgeinfer.cli.reload import run_reloadable
from edgeinfer.system import interrupts
from edgeinfer.system.interrupts import Interrupted, install_signal_handlers, remove_signal_handlers
from tools.patience import PATIENCE
from tools.programs import running

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def _restored_handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    install_signal_handlers()
    yield
    remove_signal_handlers()
    for number, handler in before.items():
        signal.signal(number, handler)


def hang_up() -> None:
    """Send SIGHUP to this process and handle the request, as the loop of a run does."""
    signal.raise_signal(signal.SIGHUP)
    interrupts.check()


def test_reload_restarts_with_the_new_plan() -> None:
    def start(plan: int) -> int:
        if plan < 3:
            hang_up()
        return plan

    plans = iter([2, 3])
    assert run_reloadable(start, 1, lambda: next(plans)) == 3
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL


def test_run_continues_if_the_new_plan_is_invalid(capfd: pytest.CaptureFixture[str]) -> None:
    def start(plan: str) -> str:
        hang_up()
        return plan

    def fail() -> str:
        raise UsageError("c.toml is not valid TOML")

    assert run_reloadable(start, "old", fail) == "old"
    message = "edgeinfer: not reloaded, the run continues unchanged: c.toml is not valid TOML\n"
    assert capfd.readouterr().err == message


@pytest.mark.parametrize("late", [signal.SIGTERM, signal.SIGINT])
def test_interruption_during_close_takes_effect_before_the_restart(late: signal.Signals) -> None:
    closed: list[str] = []

    def start(plan: str) -> None:
        try:
            hang_up()
        finally:
            interrupts.interrupt(late)
            closed.append(plan)

    with pytest.raises(Interrupted) as interruption:
        run_reloadable(start, "old", lambda: "new")
    assert interruption.value.exit_code == 128 + late
    assert closed == ["old"]


def test_second_reload_during_close_uses_the_newest_plan() -> None:
    started: list[str] = []

    def start(plan: str) -> None:
        started.append(plan)
        interrupts.check()
        if plan == "old":
            try:
                hang_up()
            finally:
                signal.raise_signal(signal.SIGHUP)

    plans = iter(["new", "newest"])
    run_reloadable(start, "old", lambda: next(plans))
    assert started[0] == "old"
    assert started[-1] == "newest"


def test_sighup_is_ignored_under_nohup() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def start(plan: str) -> str:
        hang_up()
        return plan

    assert run_reloadable(start, "old", lambda: "new") == "old"


CHILD = """
import os, signal, sys, time
from edgeinfer.cli.reload import run_reloadable
from edgeinfer.system import interrupts
from edgeinfer.system.interrupts import Interrupted, install_signal_handlers, remove_signal_handlers

def start(plan):
    print(plan, flush=True)
    while plan != "new" or sys.argv[1] == "terminal closed":
        time.sleep(0.05)
        interrupts.check()

try:
    run_reloadable(start, "old", lambda: "new")
except Interrupted as end:
    os._exit(end.exit_code)
"""


@pytest.mark.parametrize(("cause", "code"), [("reload", 0), ("terminal closed", 129)])
def test_sighup_from_a_closed_terminal_stops_the_program(cause: str, code: int) -> None:
    master, slave = pty.openpty()
    command = ["setsid", "--ctty", sys.executable, "-c", CHILD, cause]
    with running(command, stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        os.close(slave)
        assert process.stdout is not None
        assert process.stdout.readline() == "old\n"
        if cause == "terminal closed":
            os.close(master)
        else:
            process.send_signal(signal.SIGHUP)
        assert process.wait(30 * PATIENCE) == code
        if cause == "reload":
            os.close(master)
