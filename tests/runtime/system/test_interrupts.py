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
from edgeinfer.system.interrupts import Interrupted
from tools.patience import PATIENCE
from tools.programs import running

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_reload_starts_again_with_the_new_plan() -> None:
    def start(plan: int) -> int:
        if plan < 3:
            signal.raise_signal(signal.SIGHUP)
        return plan

    plans = iter([2, 3])
    assert run_reloadable(start, 1, lambda: next(plans)) == 3
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL


def test_the_work_goes_on_where_the_new_plan_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    def start(plan: str) -> str:
        signal.raise_signal(signal.SIGHUP)
        return plan

    def refuse() -> str:
        raise UsageError("c.toml is no TOML")

    assert run_reloadable(start, "old", refuse) == "old"
    assert capfd.readouterr().err == "edgeinfer: not reloaded, the run goes on as it was: c.toml is no TOML\n"


@pytest.mark.parametrize("late", [signal.SIGTERM, signal.SIGINT])
def test_what_comes_while_the_work_is_closed_waits_for_it(late: signal.Signals) -> None:
    closed: list[str] = []

    def start(plan: str) -> None:
        try:
            signal.raise_signal(signal.SIGHUP)
        finally:
            signal.raise_signal(late)
            closed.append(plan)

    with pytest.raises(Interrupted) as interruption:
        run_reloadable(start, "old", lambda: "new")
    assert interruption.value.exit_code == 128 + late
    assert closed == ["old"]


def test_a_reload_while_the_work_is_closed_has_it_start_with_the_newest_plan() -> None:
    started: list[str] = []

    def start(plan: str) -> None:
        started.append(plan)
        if plan == "old":
            try:
                signal.raise_signal(signal.SIGHUP)
            finally:
                signal.raise_signal(signal.SIGHUP)

    plans = iter(["new", "newest"])
    run_reloadable(start, "old", lambda: next(plans))
    assert started == ["old", "newest"]


def test_nohup_is_respected() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def start(plan: str) -> str:
        signal.raise_signal(signal.SIGHUP)
        return plan

    assert run_reloadable(start, "old", lambda: "new") == "old"


CHILD = """
import os, signal, sys, time
from edgeinfer.cli.reload import run_reloadable
from edgeinfer.system.interrupts import Interrupted

def start(plan):
    print(plan, flush=True)
    while plan != "new" or sys.argv[1] == "hang up":
        time.sleep(0.05)

try:
    run_reloadable(start, "old", lambda: "new")
except Interrupted as end:
    os._exit(end.exit_code)
"""


@pytest.mark.parametrize(("what", "code"), [("reload", 0), ("hang up", 129)])
def test_a_terminal_that_is_gone_ends_the_program(what: str, code: int) -> None:
    master, slave = pty.openpty()
    command = ["setsid", "--ctty", sys.executable, "-c", CHILD, what]
    with running(command, stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        os.close(slave)
        assert process.stdout is not None
        assert process.stdout.readline() == "old\n"
        if what == "hang up":
            os.close(master)
        else:
            process.send_signal(signal.SIGHUP)
        assert process.wait(30 * PATIENCE) == code
        if what == "reload":
            os.close(master)
