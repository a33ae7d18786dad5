"""Signals that stop or reload a run."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any, NoReturn


class Interrupted(BaseException):
    """SIGINT, SIGTERM or the loss of the terminal stopped the program.

    Attributes:
        exit_code: 128 plus the signal number.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


class Reload(BaseException):
    """SIGHUP stopped the run so that it restarts with new settings.

    Attributes:
        plan: Settings for the restart.
    """

    def __init__(self, plan: Any) -> None:
        super().__init__()
        self.plan = plan


def install_signal_handlers() -> None:
    """Raise `Interrupted` in the main thread on SIGINT and SIGTERM."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, raise_interrupted)


def raise_interrupted(number: int, _frame: FrameType | None) -> NoReturn:
    """Raise `Interrupted` and ignore further signals."""
    # A second Ctrl-C must not prevent the outputs from being closed.
    for other in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)
    raise Interrupted(number)
