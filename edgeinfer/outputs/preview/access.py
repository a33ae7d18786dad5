"""Listen address and access control of the preview."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from edgeinfer.errors import UsageError
from edgeinfer.url import AddressError, bracketed, host_and_port, without_credentials

MIN_TOKEN_LENGTH = 8
"""Minimum number of characters in an access token."""
MAX_FAILURES = 10
"""Number of requests with a wrong token after which an address is blocked."""
FAILURE_WINDOW_S = 60.0
"""Time within which wrong tokens are counted, and duration of a block, in seconds."""
MAX_ADDRESSES = 1000
"""Maximum number of addresses whose failures are counted; beyond it the oldest is discarded."""


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Host and port of a listening socket.

    Attributes:
        host: host name or IP address.
        port: TCP port, 0..65535; 0 selects a free port.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse "[HOST:]PORT"; the default host is 127.0.0.1, and an IPv6 address is enclosed in brackets.

        Raises:
            UsageError: The text is malformed.
        """
        try:
            return cls(*host_and_port(text if ":" in text else f"127.0.0.1:{text}", lowest_port=0))
        except AddressError as error:
            raise UsageError(
                f"invalid listen address {without_credentials(text)!r}: {error}; expected PORT or HOST:PORT, for "
                "example 8080 or [::1]:8080"
            ) from error

    @property
    def loopback(self) -> bool:
        """True if only this machine can connect."""
        return is_loopback(self.host)

    @property
    def family(self) -> socket.AddressFamily:
        """Address family of the socket."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    def url(self, port: int) -> str:
        """Return the URL for a browser.

        Args:
            port: port of the bound socket.
        """
        wildcard = self.host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
        return f"http://{socket.gethostname() if wildcard else bracketed(self.host)}:{port}/"


def is_loopback(host: str) -> bool:
    """Return True if a host name or IP address always refers to this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def check_access(address: str, token: str | None) -> None:
    """Validate that a preview reachable from other machines is protected by a token.

    Args:
        address: listen address, see `ListenAddress.parse`.
        token: access token, or None for a preview without one.

    Raises:
        UsageError: The address is invalid, the token is invalid, or other machines can connect without a token.
    """
    loopback = ListenAddress.parse(address).loopback
    if token is None and not loopback:
        raise UsageError(
            f"other machines can connect to the preview at {address}: set `preview_token`, or listen on 127.0.0.1"
        )
    if token is not None and (len(token) < MIN_TOKEN_LENGTH or not token.isascii() or not token.isprintable()):
        raise UsageError(f"invalid `preview_token`: expected at least {MIN_TOKEN_LENGTH} printable ASCII characters")


@dataclass(frozen=True, slots=True)
class AccessControl:
    """Access rule of the preview.

    Attributes:
        token: required access token. If None, a request must address this machine by a loopback name, because the page
            of another site could resolve its own name to the loopback address (DNS rebinding).
    """

    token: str | None

    def allows(self, token: str | None, host: str) -> bool:
        """Return True if a request is allowed; tokens are compared in constant time.

        Args:
            token: token of the request, or None.
            host: Host header of the request.
        """
        if self.token is None:
            try:
                return is_loopback(host_and_port(host, default_port=80)[0])
            except AddressError:
                return False
        # Digests have the same length, so that the time of the comparison does not depend on the token's length.
        digests = (hashlib.sha256(text.encode(errors="replace")).digest() for text in (token or "", self.token))
        return hmac.compare_digest(*digests)


class FailureLimit:
    """Limit on wrong tokens per client address; safe to use from several threads.

    IPv6 addresses are counted by network (/64), because one client has many addresses.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Initialize a limit without failures.

        Args:
            clock: monotonic time in seconds.
        """
        self._clock, self._lock = clock, threading.Lock()
        self._failures: dict[str, tuple[int, float]] = {}

    def add(self, address: str) -> None:
        """Count a wrong token."""
        key, now_s = _network(address), self._clock()
        with self._lock:
            count, since_s = self._failures.pop(key, (0, now_s))
            if now_s - since_s >= FAILURE_WINDOW_S:
                count, since_s = 0, now_s
            # The block lasts for a whole window after the last counted failure.
            self._failures[key] = (count + 1, now_s if count + 1 == MAX_FAILURES else since_s)
            if len(self._failures) > MAX_ADDRESSES:
                del self._failures[next(iter(self._failures))]

    def blocks(self, address: str) -> bool:
        """Return True if the address sent too many wrong tokens recently."""
        with self._lock:
            count, since_s = self._failures.get(_network(address), (0, 0.0))
        return count >= MAX_FAILURES and self._clock() - since_s < FAILURE_WINDOW_S


def _network(address: str) -> str:
    """Return the IPv4 address, or the /64 network of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))
