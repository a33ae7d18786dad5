"""Signals: what ends a program, and what has a run start again."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

from edgeinfer.errors import one_line
from edgeinfer.system.interrupts import Reload, _interrupt, install_signal_handlers

Plan = TypeVar("Plan")
Outcome = TypeVar("Outcome")


def run_reloadable(start: Callable[[Plan], Outcome], plan: Plan, plan_again: Callable[[], Plan]) -> Outcome:
    """Do a work that SIGHUP ends and starts again.

    Where the terminal itself hung up, the program ends with 129. What comes while the work is closed waits for it.

    Args:
        start: does the work; `Reload` is raised in it, wherever it is.
        plan: what `start` is first called with.
        plan_again: gives the next plan. It is asked in the midst of the work, which goes on where this raises.

    Returns:
        What `start` gave when it came to its end.
    """
    before = signal.getsignal(signal.SIGHUP)
    if before == signal.SIG_IGN:  # nohup
        return start(plan)
    terminal = _has_terminal()
    waiting: list[int] = []

    def reload(number: int, frame: FrameType | None) -> None:
        if terminal and not _has_terminal():
            _interrupt(number, frame)
        try:
            fresh = plan_again()
        except Exception as error:  # whatever is wrong with a new plan, the work goes on with the old one
            reason = getattr(error, "format_message", error.__str__)()
            _say(f"not reloaded, the run goes on as it was: {reason}")
            return
        for other in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(other, lambda late, _: waiting.append(late))
        _say("reloading: the outputs are closed and the run starts again")
        raise Reload(fresh)

    try:
        while True:
            try:
                install_signal_handlers()
                signal.signal(signal.SIGHUP, reload)
                while waiting:
                    signal.raise_signal(waiting.pop(0))
                return start(plan)
            except Reload as wish:
                plan = wish.plan
    finally:
        signal.signal(signal.SIGHUP, before)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _say(sentence: str) -> None:
    # Not print: a handler may have come in the midst of another print, which Python refuses to enter again.
    os.write(2, f"edgeinfer: {one_line(sentence)}\n".encode())
