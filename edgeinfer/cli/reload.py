"""Restart of a command on SIGHUP."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

from edgeinfer.errors import one_line
from edgeinfer.system.interrupts import Reload, install_signal_handlers, raise_interrupted

Plan = TypeVar("Plan")
Outcome = TypeVar("Outcome")

_active: list[_Reloader] = []


def run_reloadable(start: Callable[[Plan], Outcome], plan: Plan, plan_again: Callable[[], Plan]) -> Outcome:
    """Run `start`, restarting it after each SIGHUP.

    The signal handler only records the request; `check_reload`, which `start` calls in its loop, serves it. SIGINT and
    SIGTERM that arrive while `start` closes its outputs for a restart are handled after that. If SIGHUP came because
    the terminal was closed, the command ends with 129. Under nohup SIGHUP is ignored.

    Args:
        start: Function that does the work; `check_reload` raises `Reload` in it.
        plan: First argument of `start`.
        plan_again: Returns the argument of the next `start`; if it raises, the work goes on unchanged.

    Returns:
        Result of the last `start`.
    """
    before = signal.getsignal(signal.SIGHUP)
    if before == signal.SIG_IGN:
        return start(plan)
    reloader = _Reloader(plan_again)
    _active.append(reloader)
    try:
        while True:
            try:
                reloader.install()
                return start(plan)
            except Reload as request:
                plan = request.plan
    finally:
        _active.remove(reloader)
        signal.signal(signal.SIGHUP, before)


def check_reload() -> None:
    """Raise `Reload` if SIGHUP arrived since the last call and the new settings are valid."""
    if _active:
        _active[-1].check()


class _Reloader:
    """Pending reload request of one command."""

    def __init__(self, plan_again: Callable[[], Any]) -> None:
        self._plan_again = plan_again
        self._has_terminal = _has_terminal()
        self._requested = False
        self._deferred: list[int] = []

    def install(self) -> None:
        """Install the signal handlers, then raise the signals that were deferred."""
        install_signal_handlers()
        signal.signal(signal.SIGHUP, self._request)
        while self._deferred:
            signal.raise_signal(self._deferred.pop(0))

    def check(self) -> None:
        if not self._requested:
            return
        self._requested = False
        try:
            plan = self._plan_again()
        except Exception as error:  # the work goes on with the old plan, whatever is wrong with the new one
            reason = getattr(error, "format_message", error.__str__)()
            _print_stderr(f"not reloaded, the run continues unchanged: {reason}")
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda late, _frame: self._deferred.append(late))
        _print_stderr("reloading: closing the outputs and restarting the run")
        raise Reload(plan)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self._has_terminal and not _has_terminal():
            raise_interrupted(number, frame)
        self._requested = True


def _has_terminal() -> bool:
    """Return True if this process has a controlling terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _print_stderr(sentence: str) -> None:
    os.write(2, f"edgeinfer: {one_line(sentence)}\n".encode())
