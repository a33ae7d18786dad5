"""What systemd is told of a run started as its service: readiness, life and state (sd_notify(3))."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING

from edgeinfer.errors import one_line
from edgeinfer.system.interrupts import Reload

if TYPE_CHECKING:
    from edgeinfer.outputs.summary import RunHeader, RunSummary
    from edgeinfer.results import Frame, Result, SourceState


STATUS_EVERY_S = 10.0


def wanted() -> bool:
    """Whether a service manager listens."""
    return os.environ.get("NOTIFY_SOCKET", "")[:1] in ("/", "@")


def notify(*assignments: str) -> None:
    """Tell the service manager; silent where there is none, or where it does not listen any more.

    Args:
        assignments: such as "READY=1".
    """
    if not wanted():
        return
    address = os.environ["NOTIFY_SOCKET"]
    if address.startswith("@"):  # Linux' abstract sockets
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto("\n".join(assignments).encode(), address)


class SystemdSink(AbstractContextManager["SystemdSink"]):
    """Tells of readiness with the first frame, and of life with frames and attempts to reconnect.

    No timer does: a loop that hangs falls silent, and the service manager's watchdog starts the program again.
    """

    def __init__(self, *, tell: Callable[..., None] = notify, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the watchdog's time from the environment.

        Args:
            tell: takes assignments such as "READY=1".
            clock: seconds.
        """
        self._tell, self._clock = tell, clock
        self._every_s = min(STATUS_EVERY_S, _watchdog_s() / 4)
        self._ready = self._tried = False
        self._told_s, self._told_frames, self._frames = clock(), 0, 0

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Name the source."""
        self._tell(f"STATUS=reading {one_line(header.source)}")

    def write(self, frame: Frame, result: Result) -> None:
        """Count one processed frame."""
        self._frames += 1
        now_s = self._clock()
        passed_s = now_s - self._told_s
        if self._told_frames and passed_s < self._every_s:
            return
        rate = f", {(self._frames - self._told_frames) / passed_s:.1f} frames/s" if self._told_frames else ""
        self._alive(f"STATUS={self._frames} frames{rate}")
        self._told_s, self._told_frames = now_s, self._frames

    def source_state(self, state: SourceState) -> None:
        """Pass on how the source is; an attempt to open it that came to an end is a sign of life, too."""
        status = f"STATUS={state.state}: {one_line(state.detail)}"
        if state.state == "lost" or (state.state == "connecting" and self._tried):
            self._alive(status)
        else:
            self._tell(status)
        self._tried |= state.state == "connecting"

    def _alive(self, status: str) -> None:
        self._tell(*(() if self._ready else ("READY=1",)), "WATCHDOG=1", status)
        self._ready = True

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Say whether the run ends for good."""
        if kind is not None and issubclass(kind, Reload):
            self._tell("RELOADING=1", "STATUS=reloading")
        else:
            self._tell("STOPPING=1", "STATUS=closing the outputs")


def _watchdog_s() -> float:
    """The watchdog's time in seconds, infinite where there is none for this process."""
    told, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", str(os.getpid()))
    return int(told) / 1e6 if told.isdecimal() and int(told) and pid == str(os.getpid()) else float("inf")
