"""Readiness, watchdog and status notifications for a run that systemd started as a service (sd_notify(3))."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING

from edgeinfer.errors import one_line
from edgeinfer.outputs.rate import RateMeter
from edgeinfer.system.interrupts import Reload

if TYPE_CHECKING:
    from edgeinfer.outputs.summary import RunHeader, RunSummary
    from edgeinfer.results import Frame, Result, SourceState


STATUS_INTERVAL_S = 10.0
"""Maximum interval between notifications while frames arrive, and window of the frame rate, in seconds."""


def has_notify_socket() -> bool:
    """Return True if a service manager has provided a notification socket."""
    return sys.platform != "win32" and os.environ.get("NOTIFY_SOCKET", "")[:1] in ("/", "@")


def notify(*assignments: str) -> None:
    """Send a notification to the service manager; do nothing if there is no socket or it is closed.

    Args:
        assignments: state assignments such as "READY=1".
    """
    if sys.platform == "win32" or not has_notify_socket():
        return
    address = os.environ["NOTIFY_SOCKET"]
    if address.startswith("@"):  # abstract socket of Linux
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto("\n".join(assignments).encode(), address)


class SystemdSink(AbstractContextManager["SystemdSink"]):
    """Sink that reports readiness with the first frame, then resets the watchdog with frames and reconnect attempts.

    No timer resets the watchdog: if the loop hangs, the notifications stop and systemd restarts the service.
    """

    def __init__(self, *, send: Callable[..., None] = notify, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the watchdog timeout from the environment.

        Args:
            send: called with state assignments such as "READY=1".
            clock: monotonic time in seconds.
        """
        self._send, self._clock = send, clock
        self._interval_s = min(STATUS_INTERVAL_S, _watchdog_timeout_s() / 4)
        self._rate = RateMeter(STATUS_INTERVAL_S, clock=clock)
        self._ready = self._attempted = False
        self._reported_s: float | None = None
        self._frames = 0

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Report the source's name."""
        self._send(f"STATUS=reading {one_line(header.source)}")

    def write(self, frame: Frame, result: Result) -> None:
        """Count one processed frame and report the frame rate when the interval has elapsed."""
        self._frames += 1
        self._rate.add()
        now_s = self._clock()
        if self._reported_s is None:
            self._report_alive(f"STATUS={self._frames} frames")
        elif now_s - self._reported_s >= self._interval_s:
            self._report_alive(f"STATUS={self._frames} frames, {self._rate.per_second():.1f} frames/s")
        else:
            return
        self._reported_s = now_s

    def source_state(self, state: SourceState) -> None:
        """Report the source's state; a failed or repeated connection attempt also resets the watchdog."""
        status = f"STATUS={state.state}: {one_line(state.detail)}"
        if state.state == "lost" or (state.state == "connecting" and self._attempted):
            self._report_alive(status)
        else:
            self._send(status)
        self._attempted |= state.state == "connecting"

    def _report_alive(self, status: str) -> None:
        self._send(*(() if self._ready else ("READY=1",)), "WATCHDOG=1", status)
        self._ready = True

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Report that the service is reloading or stopping."""
        if kind is not None and issubclass(kind, Reload):
            self._send("RELOADING=1", "STATUS=reloading")
        else:
            self._send("STOPPING=1", "STATUS=closing the outputs")


def _watchdog_timeout_s() -> float:
    """Return the watchdog timeout in seconds, infinity if there is no watchdog for this process."""
    timeout_us, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", str(os.getpid()))
    enabled = timeout_us.isdecimal() and int(timeout_us) and pid == str(os.getpid())
    return int(timeout_us) / 1e6 if enabled else float("inf")
