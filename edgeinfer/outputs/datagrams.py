"""Delivery of datagrams to a host whose name may not be resolvable yet."""

from __future__ import annotations

import errno
import math
import socket
import time
from collections import deque
from typing import Any, NoReturn

from edgeinfer.units import backoff_s

_TRANSIENT = {errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS, errno.EMSGSIZE}
"""Errors of one datagram: the send buffer is full, or the datagram is too large."""


class DatagramSender:
    """UDP sender that resolves the host on first use; only this resolution can block.

    A host with several addresses, such as `localhost`, is sent to at the first one that does not refuse.

    Attributes:
        refused: Number of datagrams that arrived at a machine on which nothing listens.
    """

    def __init__(self, host: str, port: int) -> None:
        """Initialize without resolving the host.

        Args:
            host: Host name or IP address, also of a broadcast or multicast group.
            port: UDP port, 1..65535.
        """
        self._host, self._port = host, port
        self._targets: deque[tuple[Any, ...]] = deque()
        self._socket: socket.socket | None = None
        self._failures, self._retry_s = 0, -math.inf
        self._error: OSError | None = None
        self.refused = 0

    def send(self, data: bytes) -> None:
        """Send a datagram without waiting for its delivery.

        Raises:
            OSError: The host cannot be resolved or reached, the send buffer is full, or the datagram is too large.
        """
        if not self._targets:
            self._resolve()
        error: OSError | None = None
        # One attempt more than there are targets: an attempt also reports the refusal of the datagram before it.
        for _ in range(len(self._targets) + 1):
            try:
                self._connected().send(data)
            except OSError as cause:
                if cause.errno in _TRANSIENT:
                    raise
                error = cause
                self.refused += isinstance(cause, ConnectionError)
                self.close()
                self._targets.rotate(-1)
            else:
                self._failures = 0
                return
        self._targets.clear()  # the host may have another address by now
        if error is not None:
            self._fail(error)

    def close(self) -> None:
        """Close the socket; the next datagram opens another one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _resolve(self) -> None:
        """Look up the addresses of the host, with increasing pauses between failed attempts."""
        if self._error is not None and time.monotonic() < self._retry_s:
            raise OSError(self._error.errno, self._error.strerror)
        try:
            self._targets.extend(socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM))
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> NoReturn:
        self._failures += 1
        self._error, self._retry_s = error, time.monotonic() + backoff_s(self._failures)
        raise error

    def _connected(self) -> socket.socket:
        """Return a socket connected to the current target, which receives ICMP errors."""
        if self._socket is None:
            family, kind, protocol, _, address = self._targets[0]
            self._socket = socket.socket(family, kind, protocol)
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            self._socket.connect(address)
        return self._socket
