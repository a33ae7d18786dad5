"""Signals that end or reload a run."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any, NoReturn


class Interrupted(BaseException):
    """A signal asked the program to end.

    Attributes:
        exit_code: 128 plus the signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


class Reload(BaseException):
    """SIGHUP asked the run to end and to start again.

    Attributes:
        plan: what it starts again with.
    """

    def __init__(self, plan: Any) -> None:
        super().__init__()
        self.plan = plan


def install_signal_handlers() -> None:
    """Have Ctrl-C and SIGTERM raise `Interrupted` where the program is at work."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    # Closing the outputs must not be broken off by impatience.
    for other in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)
    raise Interrupted(number)
