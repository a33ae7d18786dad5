"""Listen address and access control of the preview."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from dataclasses import dataclass
from typing import Self

from edgeinfer.errors import UsageError

MIN_TOKEN_LENGTH = 8
"""Minimum number of characters of an access token."""


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
            UsageError: The text has another form.
        """
        host, colon, port = text.rpartition(":")
        bare = host.removeprefix("[").removesuffix("]")
        bracketed = bare != host
        if not (port.isascii() and port.isdecimal() and int(port) <= 65535) or (colon and not bare):
            raise UsageError(f"invalid listen address {text!r}: expected PORT or HOST:PORT, for example 8080")
        if (":" in bare) != bracketed:
            raise UsageError(
                f"invalid listen address {text!r}: enclose an IPv6 address in brackets, for example [::1]:8080"
            )
        return cls(bare or "127.0.0.1", int(port))

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
        host = socket.gethostname() if wildcard else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


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
            name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
            return is_loopback(name)
        return hmac.compare_digest((token or "").encode(), self.token.encode())
