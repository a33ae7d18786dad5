"""Opening and reading of a source in a separate thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from edgeinfer.errors import SourceError
from edgeinfer.results import Frame
from edgeinfer.sources.base import Source
from edgeinfer.system import interrupts


class FrameReceiver(Protocol):
    """Consumer of the frames of a `Connection`; called from the connection's thread."""

    def receive(self, connection: Connection, frame: Frame) -> bool:
        """Accept a frame; return False to stop reading."""
        ...

    def connection_closed(self, connection: Connection, skipped: int) -> None:
        """Handle the end of the connection, with the number of frames that could not be decoded."""
        ...


class Connection:
    """One lifetime of a source, from opening to closing, in a separate thread.

    Attributes:
        started: True once the thread has been started.
        closed: True once the source is closed; set by the receiver.
        abandoned: True if the frames are discarded because a read timed out.
        error: Exception that ended the connection, or None if the source was read to its end.
    """

    def __init__(self, receiver: FrameReceiver, opener: Callable[[], Source], *, name: str) -> None:
        """Create a connection without starting it.

        Args:
            receiver: Consumer of the frames.
            opener: Function that opens the source, called in the connection's thread.
            name: Source name, used in the thread's name.
        """
        self._receiver, self._opener = receiver, opener
        self.started = self.closed = self.abandoned = False
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=f"read {name}", daemon=True)

    def start(self) -> None:
        """Start opening and reading the source."""
        self.started = True
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to finish, for at most `timeout_s` seconds."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        skipped = 0
        try:
            with self._opener() as source:
                for frame in source:
                    if not self._receiver.receive(self, frame):
                        break
                skipped = source.skipped
        except Exception as error:  # raised again in the consumer's thread
            if not self.abandoned:
                self.error = error
        self._receiver.connection_closed(self, skipped)


def open_within(timeout_s: float, opener: Callable[[], Source], name: str) -> Source:
    """Open a source in a separate thread, so that a hanging driver does not block the caller.

    A source that opens after the timeout is closed immediately.

    Args:
        timeout_s: Time limit in seconds.
        opener: Function that opens the source.
        name: Source name for messages.

    Raises:
        SourceError: The timeout expired. Exceptions from `opener` are raised unchanged.
    """
    outcome: list[Source | Exception] = []
    abandoned = threading.Event()

    def work() -> None:
        try:
            opened = opener()
        except Exception as error:  # raised again below
            outcome.append(error)
            return
        outcome.append(opened)
        if abandoned.is_set():
            opened.__exit__(None, None, None)

    thread = threading.Thread(target=work, name=f"open {name}", daemon=True)
    thread.start()
    deadline_s = time.monotonic() + timeout_s
    while thread.is_alive() and (left_s := deadline_s - time.monotonic()) > 0:
        thread.join(min(left_s, interrupts.CHECK_S))
        interrupts.check()
    if not outcome:
        abandoned.set()
        raise SourceError(f"{name} could not be opened within {timeout_s:g} s; check its cable or network")
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]
