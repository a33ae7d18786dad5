"""Interruption of a program by SIGINT, SIGTERM and SIGHUP.

A signal handler must not raise, because Python drops exceptions that are raised inside a finalizer or a callback of
native code. The handlers here only record the signal, and the loops of a run call `check`, which raises. A watchdog
thread, woken by `signal.set_wakeup_fd` even while the main thread is inside native code, cancels a running inference
and ends the process if the loop does not react in time, for example because a write to a stalled pipe blocks.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from edgeinfer.system.portable import HANG_UP, INTERRUPTS

GRACE_S = 1.5
"""Time in seconds that a run has to close its outputs before the process is ended."""
CLOSING_S = 1.0
"""Time in seconds that one output may take to close after an interruption."""
CHECK_S = 0.25
"""Interval in seconds at which waiting loops call `check`."""


class Interrupted(BaseException):
    """The program was interrupted by a signal.

    Attributes:
        exit_code: 128 plus the number of the signal.
        outcome: State of the outputs, the second half of the printed sentence.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number
        self.outcome = "all outputs are closed"


class Reload(BaseException):
    """SIGHUP requested a restart of the run.

    Attributes:
        plan: Argument of the next start.
    """

    def __init__(self, plan: Any) -> None:
        super().__init__()
        self.plan = plan


class _State:
    """Signal state of this process. There is only one instance, because signal handlers are process-wide."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.raised = False
        self.reload: Callable[[], None] | None = None
        self.guards = 0
        self.cancel: list[Callable[[], None]] = []
        self.watchdog: _Watchdog | None = None


_state = _State()


def install_signal_handlers(program: str = "edgeinfer") -> None:
    """Handle SIGINT and SIGTERM for the rest of the process; call it in the main thread.

    Outside `guarded` blocks a signal ends the process immediately with 128 plus its number. Inside, `check` raises
    `Interrupted`, and the process is ended after `GRACE_S` seconds if it still runs.

    Args:
        program: Name printed before the message on stderr.
    """
    _state.number, _state.raised = None, False
    for number in INTERRUPTS:  # before the watchdog, which would end the process while Python prints a traceback
        signal.signal(number, _record)
    if _state.watchdog is None:
        _state.watchdog = _Watchdog(program)
    if is_interrupted():
        _state.watchdog.wake()


def remove_signal_handlers() -> None:
    """Stop the watchdog and restore the default handlers."""
    if _state.watchdog is not None:
        _state.watchdog.close()
        _state.watchdog = None
    for number in INTERRUPTS:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def raise_in_main_thread() -> None:
    """Make SIGINT and SIGTERM raise `Interrupted` in the main thread.

    For programs without a loop that calls `check`, such as Keras training.
    """
    remove_signal_handlers()
    for number in INTERRUPTS:
        signal.signal(number, raise_interrupted)


def raise_interrupted(number: int, _frame: FrameType | None) -> NoReturn:
    """Ignore further signals, so that closing the outputs is not interrupted, and raise `Interrupted`."""
    for other in (*HANG_UP, *INTERRUPTS):
        signal.signal(other, signal.SIG_IGN)
    raise Interrupted(number)


def check() -> None:
    """Raise `Interrupted` after SIGINT or SIGTERM, once, or the exception of the reload callback after SIGHUP."""
    if _state.number is not None and not _state.raised:
        _state.raised = True
        raise Interrupted(_state.number)
    if _state.reload is not None and _state.number is None:
        _state.reload()


def are_checked() -> bool:
    """Return True if waiting loops must call `check` several times per second."""
    return _state.watchdog is not None or _state.reload is not None


def is_interrupted() -> bool:
    """Return True after SIGINT or SIGTERM."""
    return _state.number is not None


def interrupt(number: int) -> None:
    """Interrupt the run as a signal does."""
    _record(number, None)


def closing_limit_s(limit_s: float) -> float:
    """Return the time limit for closing an output: the given one, or a shorter one after an interruption."""
    return min(limit_s, CLOSING_S) if is_interrupted() else limit_s


def on_interrupt(callback: Callable[[], None]) -> None:
    """Register a callback that the watchdog thread calls on SIGINT or SIGTERM, for example to cancel an inference."""
    _state.cancel.append(callback)


def on_check(callback: Callable[[], None] | None) -> None:
    """Set the callback that every `check` calls, or None."""
    _state.reload = callback


@contextmanager
def guarded() -> Iterator[None]:
    """Mark a block that calls `check` often and closes its outputs when it raises."""
    check()
    _state.guards += 1
    try:
        yield
    finally:
        _state.guards -= 1


def wait_readable(descriptor: int) -> None:
    """Wait until a descriptor has data or is closed by its writer, checking for interruptions."""
    _wait(descriptor, writable=False)


def wait_writable(descriptor: int) -> None:
    """Wait until a descriptor accepts `select.PIPE_BUF` bytes or fails, checking for interruptions."""
    _wait(descriptor, writable=True)


def _wait(descriptor: int, *, writable: bool) -> None:
    if sys.platform == "win32":  # cannot wait for pipes; the watchdog ends the process
        return
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT if writable else select.POLLIN)
    while not poll.poll(1000 * CHECK_S):
        check()


def _record(number: int, _frame: FrameType | None) -> None:
    if _state.number is None:
        _state.number = number


class _Watchdog:
    """Thread that ends the process if an interruption takes too long."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._closed = threading.Event()
        self._reader, self._writer = os.pipe()
        if sys.platform != "win32":
            os.set_blocking(self._writer, False)
        self._previous = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, name="signal watchdog", daemon=True).start()

    def close(self) -> None:
        """Stop the thread and restore the previous wakeup descriptor."""
        self._closed.set()
        signal.set_wakeup_fd(self._previous, warn_on_full_buffer=False)
        os.close(self._writer)

    def wake(self) -> None:
        """End the process as after a signal, for one that arrived before the thread started."""
        os.write(self._writer, bytes([_state.number or signal.SIGINT]))

    def _watch(self) -> None:
        while data := os.read(self._reader, 64):
            number = next((byte for byte in data if byte in INTERRUPTS), None)
            if number is not None:
                self._interrupt(number)
        os.close(self._reader)

    def _interrupt(self, number: int) -> None:
        _record(number, None)
        for callback in _state.cancel:
            callback()
        closing = _state.guards > 0 or _state.raised
        if closing and self._closed.wait(GRACE_S):
            return
        outputs = "; some outputs may be incomplete" if closing else ""
        _write_stderr(f"{self._program}: interrupted{outputs}\n")
        os._exit(128 + number)


def _write_stderr(text: str) -> None:
    try:
        os.write(2, text.encode())
    except OSError:  # closed
        return
