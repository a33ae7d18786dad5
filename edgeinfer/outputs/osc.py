"""Results sent as Open Sound Control (OSC) bundles over UDP, for TouchDesigner, Max and game engines."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Self

from edgeinfer.errors import CapabilityError, UsageError
from edgeinfer.outputs.background import BackgroundQueue
from edgeinfer.outputs.datagrams import DatagramSender
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import Frame, Result, SourceState
from edgeinfer.units import counted
from edgeinfer.url import AddressError, bracketed, host_and_port, without_credentials

QUEUE_CAPACITY = 100
"""Maximum number of frames that wait for sending; beyond it the oldest is dropped."""
CLOSE_TIMEOUT_S = 1.0
"""Time for sending the remaining frames when the sink is closed, in seconds."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OscAddress:
    """Receiver of OSC bundles.

    Attributes:
        host: Host name in ASCII, or IP address.
        port: UDP port, 1..65535.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse "HOST:PORT"; an IPv6 address is enclosed in brackets.

        Raises:
            UsageError: The text is malformed.
        """
        try:
            return cls(*host_and_port(text))
        except AddressError as error:
            raise UsageError(
                f"invalid OSC address {without_credentials(text)!r}: {error}; expected HOST:PORT, for example "
                "127.0.0.1:9000 or [::1]:9000"
            ) from error

    def __str__(self) -> str:
        """Return the address for messages."""
        return f"osc {bracketed(self.host)}:{self.port}"


class OscSink(AbstractContextManager["OscSink"]):
    """Sink that sends one bundle per frame; docs/osc.md describes the addresses.

    A background thread resolves the host, builds the bundles and sends them. UDP has no acknowledgements, so a bundle
    counts as sent unless the network reports an error.
    """

    def __init__(self, address: str) -> None:
        """Initialize the sink without resolving the host.

        Args:
            address: "HOST:PORT"; an IPv6 address is enclosed in brackets.

        Raises:
            UsageError: The address is malformed.
            CapabilityError: python-osc is not installed.
        """
        self._address = OscAddress.parse(address)
        try:
            from edgeinfer.outputs.osc_bundle import OscBundles  # noqa: PLC0415 - optional dependency
        except ImportError as error:
            raise CapabilityError("OSC needs python-osc; install it with: pip install 'edgeinfer[osc]'") from error
        self._new_bundles = OscBundles
        self._bundles = OscBundles(RunHeader("", None, (), "", "", {}))
        self._sender = DatagramSender(self._address.host, self._address.port)
        self._sent = self._failures = 0
        self._warned = False
        self._queue: BackgroundQueue[Callable[[], Iterable[bytes]]] = BackgroundQueue(
            self._deliver, name="osc", capacity=QUEUE_CAPACITY, on_drop=lambda: self._fail("the queue is full")
        )

    @property
    def sent(self) -> int:
        """Number of bundles that were passed to the network and not refused."""
        return self._sent - self._sender.refused

    @property
    def failed(self) -> int:
        """Number of frames that were dropped or could not be sent, and of refused bundles."""
        return self._failures + self._sender.refused

    def __enter__(self) -> Self:
        """Start the thread that sends frames."""
        self._queue.start()
        return self

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Store the labels of the run."""
        self._bundles = self._new_bundles(header)

    def write(self, frame: Frame, result: Result) -> None:
        """Queue a frame for sending."""
        height, width = frame.image.shape[:2]
        self._queue.put(partial(self._bundles.frame, frame.index, (width, height), result))

    def source_state(self, state: SourceState) -> None:
        """Queue a state of a live source for sending."""
        self._queue.put(partial(self._bundles.source, state.state))

    def __exit__(self, *_: object) -> None:
        """Send the end of the run, waiting at most `CLOSE_TIMEOUT_S`, and log the number of failures."""
        self._queue.put(self._bundles.end)
        unsent = self._queue.close(CLOSE_TIMEOUT_S)
        if not unsent:
            self._sender.close()
        if unsent or self.failed:
            sent, lost = counted(self.sent, "bundle"), self.failed + unsent
            _log.warning("%s: %s sent, %d not delivered", self._address, sent, lost)

    def _deliver(self, build: Callable[[], Iterable[bytes]]) -> None:
        """Build and send the bundles of a frame or a state."""
        refused = self._sender.refused
        try:
            for bundle in build():
                self._sender.send(bundle)
                self._sent += 1
        except OSError as error:
            self._fail(error.strerror or type(error).__name__)
        except Exception as error:  # the thread serves the whole run and must survive any error
            self._fail(f"unexpected {type(error).__name__}")
        if self._sender.refused > refused:
            self._warn("no program receives on this port")

    def _fail(self, reason: str) -> None:
        self._failures += 1
        self._warn(reason)

    def _warn(self, reason: str) -> None:
        """Log the first failure."""
        if not self._warned:
            self._warned = True
            _log.warning("%s: bundle not delivered (%s); further failures are only counted", self._address, reason)


def check_address(address: str) -> None:
    """Validate the address of a receiver.

    Raises:
        UsageError: The address is malformed.
    """
    OscAddress.parse(address)
