"""HTTP server of the preview: pages, streams, snapshot, HTTP API, health and metrics."""

from __future__ import annotations

import http
import io
import logging
import socket
import sys
import threading
from collections.abc import Generator, Mapping
from contextlib import closing
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from types import MappingProxyType
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote, unquote, urlsplit

from edgeinfer.errors import OutputError
from edgeinfer.outputs.preview.access import AccessControl, FailureLimit, ListenAddress
from edgeinfer.outputs.preview.connections import ConnectionTable
from edgeinfer.outputs.preview.prometheus import CONTENT_TYPE, metrics
from edgeinfer.outputs.preview.requests import InvalidRequestError, check_head, read_head
from edgeinfer.outputs.preview.state import PreviewState
from edgeinfer.outputs.preview.streams import BOUNDARY, api_events, jpeg_parts, json_text, page_events

MAX_STREAMS = 16
"""Maximum number of connections that receive a stream; each open page uses two."""
CLIENT_TIMEOUT_S = 10.0
"""Time for receiving a complete request, and for each write to a client, in seconds."""
SEND_BUFFER_BYTES = 128 * 1024
"""Send buffer of a streaming connection; it is small so that a slow client receives recent pictures."""
COOKIE = "edgeinfer-token"
EVENT_STREAM, TEXT = "text/event-stream; charset=utf-8", "text/plain; charset=utf-8"
PAGE = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/overlay": ("overlay.html", "text/html; charset=utf-8"),
    "/overlay.css": ("overlay.css", "text/css; charset=utf-8"),
    "/overlay.js": ("overlay.js", "text/javascript; charset=utf-8"),
    "/api/openapi.json": ("openapi.json", "application/json"),
}
"""File and content type of each static path."""
POLICY = "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_log = logging.getLogger(__name__)


class PreviewServer(ThreadingHTTPServer):
    """HTTP server of the preview with one thread per client; clients never block the run.

    Attributes:
        state: state of the run.
        access: access rule for requests.
        failures: limit on wrong tokens.
        connections: open connections.
        streams: semaphore that limits the number of streaming connections.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 32

    def __init__(self, address: ListenAddress, state: PreviewState, access: AccessControl) -> None:
        """Bind the port without serving requests.

        Raises:
            OutputError: The address is in use or does not belong to this machine.
        """
        self.state, self.access = state, access
        self.failures, self.connections = FailureLimit(), ConnectionTable()
        self.streams = threading.BoundedSemaphore(MAX_STREAMS)
        self.address_family = address.family
        try:
            super().__init__((address.host, address.port), _RequestHandler)
        except OSError as error:
            where = f"{address.host}:{address.port}"
            raise OutputError(f"the preview cannot listen on {where}: {error.strerror}; choose another port") from error

    def server_bind(self) -> None:
        """Bind the socket without a reverse DNS lookup, which the base class does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.socket.getsockname()[:2]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection, or close it if there are too many."""
        if not self.connections.add(request, client_address[0]):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no further thread can be started
            self.connections.remove(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Handle a connection until it is closed."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.connections.remove(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log the type of an unexpected error, because its text may contain the token; ignore closed connections."""
        error = sys.exception()
        if not isinstance(error, OSError):
            _log.warning("preview: unexpected %s while serving a request", type(error).__name__)


class _RequestHandler(BaseHTTPRequestHandler):
    """Handler of one connection."""

    server: PreviewServer
    timeout = CLIENT_TIMEOUT_S
    server_version, sys_version = "edgeinfer", ""
    default_request_version = "HTTP/1.0"
    routes: ClassVar[dict[str, str]] = {
        "/stream.mjpg": "_send_stream", "/events": "_send_events", "/snapshot.jpg": "_send_snapshot",
        "/healthz": "_send_health", "/metrics": "_send_metrics", "/api/state": "_send_state",
        "/api/events": "_send_api_events",
    }  # fmt: skip

    def handle(self) -> None:
        """Serve one request, which must arrive within `timeout`."""
        self.close_connection = True
        self.rfile.close()
        self.rfile = io.BytesIO()
        try:
            head = read_head(self.connection, self.timeout)
            self.connection.settimeout(self.timeout)
            if head:
                self.rfile = io.BytesIO(head)
                self.handle_one_request()
        except InvalidRequestError as error:
            self.connection.settimeout(self.timeout)
            self.send_error(error.status, str(error))

    def do_GET(self) -> None:
        check_head(self.requestline, self.headers.get("Content-Length", "0"))
        try:
            url = urlsplit(self.path)
            query_token = parse_qs(url.query, errors="replace").get("token", [None])[0]
        except ValueError as error:
            raise InvalidRequestError(400, "invalid request target") from error
        token = query_token or self._header_token()
        address, access = self.client_address[0], self.server.access
        if access.token is not None and token is not None and self.server.failures.blocks(address):
            self.send_error(http.HTTPStatus.TOO_MANY_REQUESTS, "too many wrong access tokens; try again in a minute")
        elif not access.allows(token, self.headers.get("Host", "")):
            if token is not None:
                self.server.failures.add(address)
            self._refuse(url.path)
        elif url.path in PAGE:
            self._send_page(url.path, query_token)
        elif url.path in self.routes:
            getattr(self, self.routes[url.path])()
        else:
            self.send_error(http.HTTPStatus.NOT_FOUND, "not found")

    def do_POST(self) -> None:
        """Reject a method that no path supports."""
        allowed = {"Allow": "GET, HEAD"}
        self._respond(b"expected GET or HEAD\n", TEXT, status=http.HTTPStatus.METHOD_NOT_ALLOWED, headers=allowed)

    # The names that http.server calls.
    do_HEAD = do_GET  # noqa: N815
    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = do_POST  # noqa: N815

    def _header_token(self) -> str | None:
        """Return the token from the Authorization header or the page's cookie."""
        scheme, _, bearer = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return bearer.strip()
        try:
            cookie = SimpleCookie(self.headers.get("Cookie", "")).get(COOKIE)
        except CookieError:
            return None
        return unquote(cookie.value) if cookie else None

    def _refuse(self, path: str) -> None:
        if self.server.access.token is None:
            self.send_error(http.HTTPStatus.MISDIRECTED_REQUEST, "this preview accepts requests to localhost only")
        elif path == "/":
            self._respond(_page_file("token.html"), "text/html; charset=utf-8", status=http.HTTPStatus.UNAUTHORIZED)
        else:
            self.send_error(http.HTTPStatus.UNAUTHORIZED, "the access token is missing or wrong")

    def _send_page(self, path: str, query_token: str | None) -> None:
        name, content_type = PAGE[path]
        headers = {}
        if query_token:
            headers["Set-Cookie"] = f"{COOKIE}={quote(query_token, safe='')}; HttpOnly; SameSite=Strict; Path=/"
        self._respond(_page_file(name), content_type, headers=headers)

    def _send_snapshot(self) -> None:
        jpeg = self.server.state.snapshot_jpeg()
        if jpeg is None:
            self.send_error(http.HTTPStatus.SERVICE_UNAVAILABLE, "no frame yet")
        else:
            self._respond(jpeg, "image/jpeg")

    def _send_health(self) -> None:
        state = self.server.state
        healthy, age_s = state.healthy, state.frame_age_s
        body = {
            "well": healthy,
            "state": state.source_state,
            "frame_age_s": None if age_s is None else round(age_s, 3),
        }
        status = http.HTTPStatus.OK if healthy else http.HTTPStatus.SERVICE_UNAVAILABLE
        self._send_json(body, status)

    def _send_state(self) -> None:
        state = self.server.state
        self._send_json({"status": state.status(), "frame": state.frame()})

    def _send_json(self, value: dict[str, Any], status: int = http.HTTPStatus.OK) -> None:
        self._respond(f"{json_text(value)}\n".encode(errors="replace"), "application/json", status=status)

    def _send_metrics(self) -> None:
        self._respond(metrics(self.server.state).encode(errors="replace"), CONTENT_TYPE)

    def _send_stream(self) -> None:
        self._stream_parts(f"multipart/x-mixed-replace; boundary={BOUNDARY}", jpeg_parts(self.server.state))

    def _send_events(self) -> None:
        self._stream_parts(EVENT_STREAM, page_events(self.server.state))

    def _send_api_events(self) -> None:
        self._stream_parts(EVENT_STREAM, api_events(self.server.state))

    def _stream_parts(self, content_type: str, parts: Generator[bytes, None, None]) -> None:
        """Send parts until the run ends; a client that blocks a write for `CLIENT_TIMEOUT_S` is disconnected."""
        if not self.server.streams.acquire(blocking=False):
            self.send_error(
                http.HTTPStatus.SERVICE_UNAVAILABLE, f"the limit of {MAX_STREAMS} streams is reached; try again later"
            )
            return
        try:
            self.server.connections.keep(self.connection)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            self._send_headers(http.HTTPStatus.OK, content_type)
            self.end_headers()
            if self.command != "HEAD":
                with closing(parts):
                    for part in parts:
                        self.wfile.write(part)
        finally:
            self.server.streams.release()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Send a plain-text response without quoting the request, as the base class would."""
        self.command = getattr(self, "command", None) or "GET"
        self.requestline, self.request_version = "", "HTTP/1.0"
        # For these, the base class includes parts of the request in the message.
        text = http.HTTPStatus(code).phrase.lower() if message is None or code in (400, 414, 501, 505) else message
        self._respond(f"{text}\n".encode(), TEXT, status=code)

    def _respond(
        self,
        body: bytes,
        content_type: str,
        *,
        status: int = http.HTTPStatus.OK,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._send_headers(status, content_type)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_headers(self, status: int, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        for name, value in HEADERS.items():
            self.send_header(name, value)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing, because a request may contain the token."""


def _page_file(name: str) -> bytes:
    return resources.files("edgeinfer.outputs.preview").joinpath("page", name).read_bytes()
