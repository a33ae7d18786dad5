"""Restart of a command on SIGHUP."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

from edgeinfer.errors import one_line
from edgeinfer.system import interrupts
from edgeinfer.system.interrupts import Reload

Plan = TypeVar("Plan")
Outcome = TypeVar("Outcome")


def run_reloadable(start: Callable[[Plan], Outcome], plan: Plan, plan_again: Callable[[], Plan]) -> Outcome:
    """Run `start`, restarting it after each SIGHUP.

    The signal handler only records the request; `interrupts.check`, which the loop of `start` calls, handles it. If
    SIGHUP came because the terminal was closed, the command ends with 129. Under nohup SIGHUP is ignored.

    Args:
        start: Function that does the work; `interrupts.check` raises `Reload` in it.
        plan: First argument of `start`.
        plan_again: Function that returns the argument of the next `start`; if it raises, the run continues unchanged.

    Returns:
        Result of the last `start`.
    """
    if sys.platform == "win32":  # has no SIGHUP
        return start(plan)
    before = signal.getsignal(signal.SIGHUP)
    if before == signal.SIG_IGN:
        return start(plan)
    reloader = _Reloader(plan_again)
    signal.signal(signal.SIGHUP, reloader.request)
    interrupts.on_check(reloader.check)
    try:
        while True:
            try:
                return start(plan)
            except Reload as request:
                plan = request.plan
                if interrupts.is_interrupted():
                    interrupts.check()
    finally:
        interrupts.on_check(None)
        signal.signal(signal.SIGHUP, before)


class _Reloader:
    """Pending reload request of one command."""

    def __init__(self, plan_again: Callable[[], Any]) -> None:
        self._plan_again = plan_again
        self._has_terminal = _has_terminal()
        self._requested = False

    def request(self, number: int, _frame: FrameType | None) -> None:
        """Record a SIGHUP (signal handler)."""
        if self._has_terminal and not _has_terminal():
            interrupts.interrupt(number)
        self._requested = True

    def check(self) -> None:
        """Raise `Reload` after a SIGHUP if the new settings are valid."""
        if not self._requested:
            return
        self._requested = False
        try:
            plan = self._plan_again()
        except Exception as error:  # after any error in the new plan, the run continues with the old one
            reason = getattr(error, "format_message", error.__str__)()
            _print_stderr(f"not reloaded, the run continues unchanged: {reason}")
            return
        _print_stderr("reloading: closing the outputs and restarting the run")
        raise Reload(plan)


def _has_terminal() -> bool:
    """Return True if this process has a controlling terminal."""
    if sys.platform == "win32":
        return False
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _print_stderr(sentence: str) -> None:
    os.write(2, f"edgeinfer: {one_line(sentence)}\n".encode())
