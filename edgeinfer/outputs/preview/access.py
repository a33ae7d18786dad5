"""Where the preview listens, and whom it lets in."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from dataclasses import dataclass
from typing import Self

from edgeinfer.errors import UsageError

SHORTEST_TOKEN = 8


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A host and a port to listen on.

    Attributes:
        host: a name or an IP address.
        port: 0..65535; 0 takes any that is free.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "[HOST:]PORT"; the host of a bare port is 127.0.0.1, an IPv6 address stands in brackets.

        Raises:
            UsageError: it is no such address.
        """
        host, colon, port = text.rpartition(":")
        bare = host.removeprefix("[").removesuffix("]")
        bracketed = bare != host
        if not (port.isascii() and port.isdecimal() and int(port) <= 65535) or (colon and not bare):
            raise UsageError(f"{text!r} is no address to listen on; give a port such as 8080, or HOST:PORT")
        if (":" in bare) != bracketed:
            raise UsageError(f"{text!r} is no address to listen on; an IPv6 address stands in brackets: [::1]:8080")
        return cls(bare or "127.0.0.1", int(port))

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return is_loopback(self.host)

    @property
    def family(self) -> socket.AddressFamily:
        """That of its socket."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    def url(self, port: int) -> str:
        """What to type into a browser, with the port that was taken."""
        anywhere = self.host in ("0.0.0.0", "::")  # noqa: S104 - recognized, not bound
        host = socket.gethostname() if anywhere else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def is_loopback(host: str) -> bool:
    """Whether a host's name or address can only be this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def check_access(address: str, token: str | None) -> None:
    """Refuse a preview that strangers could watch.

    Args:
        address: as for `ListenAddress.parse`.
        token: what a visitor must know; None lets everybody in.

    Raises:
        UsageError: the address makes no sense, others than this machine reach it without a token, or the token is
            short.
    """
    if token is None and not ListenAddress.parse(address).loopback:
        raise UsageError(f"{address} can be reached from elsewhere; give --preview-token, or listen on 127.0.0.1")
    if token is not None and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable()):
        raise UsageError(f"a preview token has at least {SHORTEST_TOKEN} printable ASCII characters")


@dataclass(frozen=True, slots=True)
class AccessControl:
    """Who may look.

    Attributes:
        token: what a visitor must know; None lets everybody in who asks for this machine by a name of its loopback,
            since another site's page could have its own name lead here (DNS rebinding).
    """

    token: str | None

    def admits(self, presented: str | None, host: str) -> bool:
        """Judge a visitor, in a time that tells nothing of the token.

        Args:
            presented: their token.
            host: the request's Host header.
        """
        if self.token is None:
            name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
            return is_loopback(name)
        return hmac.compare_digest((presented or "").encode(), self.token.encode())
