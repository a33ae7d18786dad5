"""The preview's own small web server: a page, a stream, events, a snapshot, health and metrics."""

from __future__ import annotations

import http
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote, unquote, urlsplit

from edgeinfer.errors import OutputError
from edgeinfer.outputs.preview.access import AccessControl, ListenAddress
from edgeinfer.outputs.preview.prometheus import CONTENT_TYPE, metrics
from edgeinfer.outputs.preview.state import PreviewState
from edgeinfer.outputs.schema import frame_line

MOST_CLIENTS, MOST_WATCHING = 24, 16
"""Connections at once, and those of them that may stay: a page needs two."""
PATIENCE_S = 10.0
"""How long a client may take for a request, or for taking what it is sent."""
SEND_BUFFER = 128 * 1024
"""Bytes on the way to a slow client, so that what it sees is not old."""
EVENTS_PER_S, STATUS_EVERY_S, ALIVE_EVERY_S = 12.0, 1.0, 5.0
COOKIE = "edgeinfer-token"
BOUNDARY = "edgeinfer-picture"
PAGE = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
POLICY = "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class PreviewServer(ThreadingHTTPServer):
    """Serves a board, a thread for each client; what a client does costs the run nothing.

    Attributes:
        board: what is shown.
        guard: who may look.
        watching: lets so many clients stay.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 32

    def __init__(self, address: ListenAddress, board: PreviewState, guard: AccessControl) -> None:
        """Listen, and serve nobody yet.

        Raises:
            OutputError: the address is taken, or not this machine's.
        """
        self.board, self.guard = board, guard
        self.watching = threading.BoundedSemaphore(MOST_WATCHING)
        self._clients = threading.BoundedSemaphore(MOST_CLIENTS)
        self.address_family = address.family
        try:
            super().__init__((address.host, address.port), _Client)
        except OSError as error:
            where = f"{address.host}:{address.port}"
            raise OutputError(f"the preview cannot listen on {where}: {error.strerror}; choose another port") from error

    def server_bind(self) -> None:
        """Bind, without asking the network for a name."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.socket.getsockname()[:2]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a client in, unless there are too many."""
        if self._clients.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a client to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._clients.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Client(BaseHTTPRequestHandler):
    server: PreviewServer
    timeout = PATIENCE_S
    server_version, sys_version = "edgeinfer", ""
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(message)s\n"
    routes: ClassVar[dict[str, str]] = {
        "/stream.mjpg": "_stream", "/events": "_events", "/snapshot.jpg": "_snapshot", "/healthz": "_health",
        "/metrics": "_metrics",
    }  # fmt: skip

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        given = parse_qs(address.query).get("token", [None])[0]
        if not self.server.guard.admits(given or self._token(), self.headers.get("Host", "")):
            self._refuse(address.path)
        elif address.path in PAGE:
            self._page(address.path, given)
        elif address.path in self.routes:
            getattr(self, self.routes[address.path])()
        else:
            self.send_error(http.HTTPStatus.NOT_FOUND, "there is nothing here")

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def _token(self) -> str | None:
        """What the visitor's headers say; the page itself has it in a cookie."""
        scheme, _, bearer = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return bearer.strip()
        try:
            cookie = SimpleCookie(self.headers.get("Cookie", "")).get(COOKIE)
        except CookieError:
            return None
        return unquote(cookie.value) if cookie else None

    def _refuse(self, path: str) -> None:
        if self.server.guard.token is None:
            self.send_error(http.HTTPStatus.MISDIRECTED_REQUEST, "this preview answers to localhost alone")
        elif path == "/":
            self._answer(_file("token.html"), "text/html; charset=utf-8", status=http.HTTPStatus.UNAUTHORIZED)
        else:
            self.send_error(http.HTTPStatus.UNAUTHORIZED, "the token is missing or wrong")

    def _page(self, path: str, given: str | None) -> None:
        name, kind = PAGE[path]
        cookie = f"{COOKIE}={quote(given, safe='')}; HttpOnly; SameSite=Strict; Path=/" if given else ""
        self._answer(_file(name), kind, cookie=cookie)

    def _snapshot(self) -> None:
        picture = self.server.board.snapshot()
        if picture is None:
            self.send_error(http.HTTPStatus.SERVICE_UNAVAILABLE, "no frame yet")
        else:
            self._answer(picture, "image/jpeg")

    def _health(self) -> None:
        board = self.server.board
        age_s = board.age_s
        told = {"well": board.well, "state": board.state, "frame_age_s": None if age_s is None else round(age_s, 3)}
        status = http.HTTPStatus.OK if told["well"] else http.HTTPStatus.SERVICE_UNAVAILABLE
        self._answer(json.dumps(told).encode() + b"\n", "application/json", status=status)

    def _metrics(self) -> None:
        self._answer(metrics(self.server.board).encode(), CONTENT_TYPE)

    def _stream(self) -> None:
        self._stay(f"multipart/x-mixed-replace; boundary={BOUNDARY}", self._parts())

    def _parts(self) -> Iterator[bytes]:
        """Pictures as they come; the last one again where none does, which finds out who is gone."""
        board, number, last = self.server.board, 0, b""
        while not board.closed.is_set():
            newer = board.picture(after=number, within_s=ALIVE_EVERY_S)
            number, last = newer or (number, last)
            if last:
                head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(last)}\r\n\r\n"
                yield head.encode() + last + b"\r\n"

    def _events(self) -> None:
        self._stay("text/event-stream; charset=utf-8", self._told())

    def _told(self) -> Iterator[bytes]:
        """Frames as lines of JSONL, the newest ones; the status every second; that the run is over."""
        board, number, status_s = self.server.board, 0, 0.0
        yield b"retry: 1000\n\n"
        while not board.closed.wait(1 / EVENTS_PER_S):
            if time.monotonic() >= status_s:
                status_s = time.monotonic() + STATUS_EVERY_S
                yield _event(board.status(), "status")
            shown = board.newest(after=number, within_s=max(0.0, status_s - time.monotonic()))
            if shown is not None:
                number = shown.number
                yield _event(frame_line(shown.frame, shown.result))
        yield _event({}, "end")

    def _stay(self, kind: str, parts: Iterator[bytes]) -> None:
        """Answer with parts without end; who does not take one within `PATIENCE_S` is let go."""
        if not self.server.watching.acquire(blocking=False):
            self.send_error(http.HTTPStatus.SERVICE_UNAVAILABLE, f"{MOST_WATCHING} are watching; try again later")
            return
        try:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            self._begin(http.HTTPStatus.OK, kind)
            self.end_headers()
            if self.command != "HEAD":
                for part in parts:
                    self.wfile.write(part)
        finally:
            self.server.watching.release()

    def _answer(self, body: bytes, kind: str, *, status: int = http.HTTPStatus.OK, cookie: str = "") -> None:
        self._begin(status, kind)
        self.send_header("Content-Length", str(len(body)))
        if cookie:
            self.send_header("Set-Cookie", cookie)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _begin(self, status: int, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in HEADERS.items():
            self.send_header(name, value)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a request may hold the token."""


def _event(value: dict[str, Any], name: str = "message") -> bytes:
    return f"event: {name}\ndata: {json.dumps(value, separators=(',', ':'), ensure_ascii=False)}\n\n".encode()


def _file(name: str) -> bytes:
    return resources.files("edgeinfer.outputs.preview").joinpath("page", name).read_bytes()
