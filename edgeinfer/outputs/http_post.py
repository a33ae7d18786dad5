"""HTTP POST with one deadline and bounded memory, regardless of the response."""

from __future__ import annotations

import base64
import functools
import re
import socket
import ssl
import time
import urllib.request
from contextlib import closing, suppress
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, unquote, urlsplit

from edgeinfer.errors import UsageError, one_line
from edgeinfer.url import AddressError, bracketed, host_and_port, origin

PORTS = {"http": 80, "https": 443}
MAX_LINE_BYTES = 1024
"""Maximum length of a status line."""
MAX_HEAD_BYTES = 64 * 1024
"""Maximum number of bytes read before the final status line, and after it."""
DRAIN_S = 0.2
"""Time to read the remaining response, so that the server can finish it, in seconds."""
_EXPECTED = (
    "expected http://HOST/PATH or https://HOST/PATH; in a password, write characters such as @ / ? # as %40 %2F %3F %23"
)
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\n]*)?\r?\n")
_SAFE = "!#$%&'()*+,/:;=?@[]~"


class PostError(Exception):
    """A request failed; the message states the reason and contains nothing that the server or the URL supplied."""


@dataclass(frozen=True, slots=True)
class PostTarget:
    """Receiver of POST requests.

    Attributes:
        display_name: scheme, host and port; the path is omitted, because it is often a token.
        tls: True for https; certificates are verified.
        host: host name in ASCII form, or IP address.
        port: TCP port, 1..65535.
        path: path and query.
        authorization: value of the Authorization header, or None.
    """

    display_name: str
    tls: bool
    host: str
    port: int
    path: str = field(repr=False)
    authorization: str | None = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> PostTarget:
        """Parse an http or https URL; a user name and password in it become basic authentication.

        Raises:
            UsageError: The URL is invalid. The message does not quote it, because its secrets cannot be identified.
        """
        try:
            parts = _split(url)
            host, port = host_and_port(parts.netloc.rpartition("@")[2], default_port=PORTS[parts.scheme])
            path = quote(parts.path or "/", safe=_SAFE) + (f"?{quote(parts.query, safe=_SAFE)}" if parts.query else "")
        except AddressError as error:
            raise UsageError(f"invalid webhook URL: {error}; {_EXPECTED}") from error
        except ValueError as error:
            raise UsageError(f"invalid webhook URL: {_EXPECTED}") from error
        authorization = None if parts.username is None else _basic(parts.username, parts.password)
        return cls(origin(url), parts.scheme == "https", host, port, path, authorization)

    @property
    def authority(self) -> str:
        """Value of the Host header."""
        host = bracketed(self.host)
        return host if self.port == PORTS["https" if self.tls else "http"] else f"{host}:{self.port}"


def post_json(target: PostTarget, body: bytes, *, timeout_s: float) -> None:
    """Post a JSON object. Redirects are not followed.

    Args:
        target: receiver.
        body: JSON text.
        timeout_s: time for connecting, sending and receiving the status line together, in seconds.

    Raises:
        PostError: The request failed, or the status is not 200 to 299.
    """
    deadline_s = time.monotonic() + timeout_s
    try:
        connection, path, headers = _connect(target, deadline_s)
        with closing(connection):
            lines = [f"POST {path} HTTP/1.1", f"Host: {target.authority}", "User-Agent: edgeinfer", "Accept: */*"]
            lines += ["Connection: close", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
            if target.authorization:
                lines.append(f"Authorization: {target.authorization}")
            _send(connection, _head(lines) + body, deadline_s)
            status = _read_status(connection, deadline_s)
            _drain(connection, deadline_s)
    except (OSError, ValueError) as error:
        raise PostError(_reason(error, timeout_s)) from None
    if not 200 <= status <= 299:
        redirect = ", a redirect, which is not followed" if 300 <= status <= 399 else ""
        raise PostError(f"received status {status}{redirect}")


def _split(url: str) -> SplitResult:
    """Split a URL; raise ValueError if it is invalid or its password contains unescaped characters."""
    url.encode()
    parts = urlsplit(url)
    rest = f"{parts.path}?{parts.query}#{parts.fragment}"
    # In http://name:12/secret@host, the apparent port and path are a password.
    if ":" in parts.netloc and "@" in rest:
        raise ValueError("unescaped characters in a password")
    if parts.scheme not in PORTS or not url.isprintable() or " " in url:
        raise ValueError("not an http or https URL")
    return parts


def _basic(name: str, password: str | None) -> str:
    pair = f"{unquote(name)}:{unquote(password or '')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _head(lines: list[str]) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("ascii")


@functools.cache
def _tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()


def _proxy(target: PostTarget) -> SplitResult | None:
    """Return the proxy that the environment variables http_proxy, https_proxy and no_proxy select, or None."""
    proxy = urllib.request.getproxies_environment().get("https" if target.tls else "http")
    if not proxy or urllib.request.proxy_bypass(f"{target.host}:{target.port}"):
        return None
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if not parts.hostname:
        raise ValueError("invalid proxy")
    return parts


def _connect(target: PostTarget, deadline_s: float) -> tuple[socket.socket, str, list[str]]:
    """Return a connection to the target, the path to request on it, and additional headers."""
    proxy = _proxy(target)
    if proxy is None:
        connection = _open(target.host, target.port, deadline_s)
    else:
        connection = _open(proxy.hostname or "", proxy.port or 80, deadline_s)
    headers = [f"Proxy-Authorization: {_basic(proxy.username, proxy.password)}"] if proxy and proxy.username else []
    if not target.tls:
        return connection, f"http://{target.authority}{target.path}" if proxy else target.path, headers
    try:
        if proxy:
            address = f"{bracketed(target.host)}:{target.port}"
            _send(connection, _head([f"CONNECT {address} HTTP/1.1", f"Host: {address}", *headers]), deadline_s)
            if _read_status(connection, deadline_s, to_end_of_head=True) != 200:
                raise ValueError("the proxy refused the connection")
        connection.settimeout(_left_s(deadline_s))
        return _tls_context().wrap_socket(connection, server_hostname=target.host), target.path, []
    except BaseException:
        connection.close()
        raise


def _open(host: str, port: int, deadline_s: float) -> socket.socket:
    """Connect to the first address of a host that accepts the connection before the deadline."""
    problem = OSError("no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(_left_s(deadline_s))
            connection.connect(address)
        except OSError as error:
            connection.close()
            problem = error
        else:
            return connection
    raise problem


def _left_s(deadline_s: float) -> float:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


def _send(connection: socket.socket, data: bytes, deadline_s: float) -> None:
    connection.settimeout(_left_s(deadline_s))
    connection.sendall(data)


def _read_status(connection: socket.socket, deadline_s: float, *, to_end_of_head: bool = False) -> int:
    """Return the status of the final response; interim responses (100 to 199) are skipped.

    Args:
        connection: connection on which a request was sent.
        deadline_s: latest time, in seconds of `time.monotonic()`.
        to_end_of_head: read the headers too, but nothing beyond them.

    Raises:
        ValueError: The response is not HTTP.
    """
    data, received = bytearray(), 0
    # TLS data may follow the response to CONNECT; it must remain unread.
    chunk_bytes = 1 if to_end_of_head else 4096
    while received < MAX_HEAD_BYTES:
        found = _STATUS.match(data)
        malformed = b"\n" in data or len(data) >= MAX_LINE_BYTES or b"HTTP/1."[: len(data)] != data[:7]
        if found is None and malformed:
            break
        end = re.search(rb"\n\r?\n", data)
        if found and int(found[1]) >= 200 and (end or not to_end_of_head):
            return int(found[1])
        if found and end and int(found[1]) < 200:
            del data[: end.end()]
            continue
        connection.settimeout(_left_s(deadline_s))
        chunk = connection.recv(chunk_bytes)
        if not chunk:
            break
        received += len(chunk)
        data += chunk
    raise ValueError("the response is not HTTP" if received else "the connection was closed without a response")


def _drain(connection: socket.socket, deadline_s: float) -> None:
    """Read the remaining response for a short time, because closing a connection early can abort a server."""
    deadline_s, received = min(deadline_s, time.monotonic() + DRAIN_S), 0
    with suppress(OSError):
        while received < MAX_HEAD_BYTES:
            connection.settimeout(_left_s(deadline_s))
            chunk = connection.recv(4096)
            if not chunk:
                return
            received += len(chunk)


def _reason(error: Exception, timeout_s: float) -> str:
    """Return the reason for a failure without text that could contain the URL."""
    if isinstance(error, TimeoutError):
        return f"no response within {timeout_s:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is invalid: {one_line(error.verify_message)}"
    if isinstance(error, OSError):
        return one_line(error.strerror or type(error).__name__)
    return one_line(str(error)) if type(error) is ValueError else type(error).__name__
