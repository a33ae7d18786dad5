"""Limit on the preview's connections that no client can exploit to exclude others."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from contextlib import suppress

MAX_CONNECTIONS = 24
"""Maximum number of simultaneous connections."""


class ConnectionTable:
    """Open connections with their client addresses.

    When the table is full, a new connection replaces an old one, because a client that only holds connections open must
    not exclude others: of the client with the most replaceable connections, the oldest is closed. A connection that
    receives a stream is not replaced; the server limits the number of streams.
    """

    def __init__(self) -> None:
        """Initialize an empty table."""
        self._lock = threading.Lock()
        self._addresses: dict[socket.socket, str] = {}
        self._replaceable: dict[socket.socket, str] = {}
        self._replaced: set[socket.socket] = set()

    def __len__(self) -> int:
        """Return the number of open connections."""
        return len(self._addresses)

    def add(self, connection: socket.socket, address: str) -> bool:
        """Add a connection and shut down an old one if there are too many.

        Returns:
            False if the connection must be closed instead, because none can be replaced.
        """
        with self._lock:
            # A connection that was shut down counts until its thread has ended, which bounds the number of threads.
            if len(self._addresses) >= 2 * MAX_CONNECTIONS:
                return False
            if len(self._addresses) - len(self._replaced) >= MAX_CONNECTIONS and not self._replace():
                return False
            self._addresses[connection] = self._replaceable[connection] = address
            return True

    def keep(self, connection: socket.socket) -> None:
        """Exclude a connection from replacement, because it receives a stream."""
        with self._lock:
            self._replaceable.pop(connection, None)

    def remove(self, connection: socket.socket) -> None:
        """Remove a closed connection."""
        with self._lock:
            self._addresses.pop(connection, None)
            self._replaced.discard(connection)
            self._replaceable.pop(connection, None)

    def _replace(self) -> bool:
        """Shut down one replaceable connection; return False if there is none."""
        if not self._replaceable:
            return False
        busiest, _ = Counter(self._replaceable.values()).most_common(1)[0]
        oldest = next(connection for connection, address in self._replaceable.items() if address == busiest)
        del self._replaceable[oldest]
        self._replaced.add(oldest)
        with suppress(OSError):
            oldest.shutdown(socket.SHUT_RDWR)
        return True
