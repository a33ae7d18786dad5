"""TCP server on the loopback interface whose behaviour a test defines byte by byte."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

Handler = Callable[[socket.socket], None]


class RawServer:
    """Context manager that passes each connection to a handler, in a separate thread.

    Attributes:
        port: TCP port on 127.0.0.1.
        connections: number of connections so far.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler, self.connections = handler, 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.connections += 1
                self._open.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            self._handler(connection)

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def answer(data: bytes) -> Handler:
    """Return a handler that reads one request with a body and sends a response."""

    def handle(connection: socket.socket) -> None:
        received = b""
        while b"\r\n\r\n" not in received or not received.endswith(b"}"):
            received += connection.recv(4096)
        connection.sendall(data)

    return handle


def answer_endlessly(start: bytes, repeated: bytes, pause_s: float = 0.0) -> Handler:
    """Return a handler that sends a response without end until the client closes the connection."""

    def handle(connection: socket.socket) -> None:
        pause = threading.Event()
        connection.recv(4096)
        connection.sendall(start)
        while True:
            pause.wait(pause_s)
            connection.sendall(repeated)

    return handle
