"""Reading of HTTP requests within one deadline and a fixed size."""

from __future__ import annotations

import socket
import time

MAX_REQUEST_BYTES = 16 * 1024
"""Maximum size of request line and headers together."""
_FORBIDDEN = bytes({*range(32), 127} - {9, 10, 13})


class InvalidRequestError(ValueError):
    """A request that cannot be served.

    Attributes:
        status: HTTP status of the response.
    """

    def __init__(self, status: int, message: str) -> None:
        """Initialize the error.

        Args:
            status: HTTP status of the response.
            message: response body; contains nothing from the request.
        """
        super().__init__(message)
        self.status = status


def read_head(connection: socket.socket, timeout_s: float) -> bytes:
    """Return the request line and headers up to the empty line; empty if the client disconnected or was too slow.

    Args:
        connection: connection to the client.
        timeout_s: time for the complete head, in seconds.

    Raises:
        InvalidRequestError: The head is too large or contains control characters.
    """
    deadline_s, head = time.monotonic() + timeout_s, bytearray()
    while (end := _end_of_head(head)) < 0:
        if len(head) >= MAX_REQUEST_BYTES:
            raise InvalidRequestError(431, "the request is too large")
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            return b""
        connection.settimeout(left_s)
        try:
            chunk = connection.recv(4096)
        except OSError:
            return b""
        if not chunk:
            return b""
        head += chunk
    del head[end:]
    if head.translate(None, _FORBIDDEN) != head:
        raise InvalidRequestError(400, "the request contains control characters")
    return bytes(head)


def check_head(request_line: str, content_length: str) -> None:
    """Reject requests that `http.server` accepts although they are not HTTP/1.

    Raises:
        InvalidRequestError: The version is not HTTP/1, or the Content-Length is invalid.
    """
    words = request_line.split()
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise InvalidRequestError(400, "invalid request line")
    length = content_length.strip()
    if not (length.isascii() and length.isdecimal() and len(length) < 20):
        raise InvalidRequestError(400, "invalid Content-Length")


def _end_of_head(data: bytearray) -> int:
    """Return the length of the head including the empty line, -1 if it is incomplete."""
    ends = [at + len(mark) for mark in (b"\r\n\r\n", b"\n\n", b"\n\r\n") if (at := data.find(mark)) >= 0]
    return min(ends, default=-1)
