"""Hosts, ports and schemes of addresses, and removal of credentials before an address is printed or logged."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable
from urllib.parse import unquote

HIDDEN = "***"
"""Replacement for parts of an address that are, or could be, secret."""
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_HOST = re.compile(r"([\w.-]+|\[[0-9a-f:.]+(%\w+)?\])(:\d{0,5})?", re.IGNORECASE | re.ASCII)
_NAMES = (
    r"user(?:name|id)?|usr|login|account|pass(?:word|wd|phrase|code)?|pwd|pw|psw|secret|auth|sig|signature|credentials?"
    r"|(?:api|access|auth|secret|private)?[_-]?(?:key|token)"
)
_ASSIGNMENT = re.compile(rf"(?:^|[^a-z0-9])(?:{_NAMES})\s*=", re.IGNORECASE)
_SECRET_NAME = re.compile(_NAMES, re.IGNORECASE)
_TOKEN = re.compile(r"(?=[a-z]*[0-9])(?=[0-9]*[a-z])[a-z0-9]{16,}|[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", re.I)


class AddressError(ValueError):
    """Malformed host or port; the message is a clause that states the cause and quotes nothing."""


def without_credentials(address: str) -> str:
    """Return an address without user name, password, query, fragment and path segments that could be secret.

    Parts that could be secret are replaced by `HIDDEN`. If an address is ambiguous, because its password contains
    unescaped characters such as @ / ? or #, everything that is secret in any reading is removed. Text that
    looks neither like a URL nor like credentials, for example a file name, is returned unchanged.

    >>> without_credentials("rtsp://admin:se?cret@camera:554/live?key=secret")
    'rtsp://camera:554/live'
    >>> without_credentials("rtsp://camera/user=admin&password=secret")
    'rtsp://camera/***'
    >>> without_credentials("admin:secret@camera/live")
    '***@camera/live'
    >>> without_credentials("clips/door@2x.mp4")
    'clips/door@2x.mp4'
    """
    if match := _SCHEME.match(address):
        return f"{match[0]}{_without_userinfo(address[match.end() :])}"
    plain = _decoded(address)
    if re.search(r":[\s\S]*@", plain):
        shown = _without_userinfo(address) if "@" in address else HIDDEN
        return shown if shown == HIDDEN else f"{HIDDEN}@{shown}"
    return _host_and_path(address) if _ASSIGNMENT.search(plain) else address


def origin(url: str) -> str:
    """Return scheme, host and port of a URL; the path of a webhook is often a token.

    >>> origin("https://me:secret@hooks.example/services/T000/B000/XXXX")
    'https://hooks.example'
    """
    scheme_part, separator, rest = without_credentials(url).partition("://")
    return f"{scheme_part}://{rest.partition('/')[0]}" if separator else HIDDEN


def hide_addresses(text: str, addresses: Iterable[str]) -> str:
    """Return a message in which each of the given addresses is replaced by its form without credentials.

    Args:
        text: Message that may quote an address, for example the text of an exception from another library.
        addresses: Addresses, which are also found as `Path` writes them; those without credentials change nothing.
    """
    for address in sorted(set(addresses), key=len, reverse=True):
        shown = without_credentials(address)
        if shown != address:
            for written in (address, os.path.normpath(address), repr(address)[1:-1], unquote(address)):
                text = text.replace(written, shown)
            # A message may quote only a part, such as the folder of an output.
            if credentials := _SCHEME.sub("", address).rpartition("@")[0]:
                text = text.replace(f"{credentials}@", f"{HIDDEN}@")
    return text


def scheme(address: str) -> str | None:
    """Return the lower-case scheme of an address, or None for a path."""
    match = re.match(r"([a-z][a-z0-9+.-]*):", address, re.IGNORECASE)
    return match[1].lower() if match else None


def host_and_port(text: str, *, default_port: int | None = None, lowest_port: int = 1) -> tuple[str, int]:
    """Return the host and the port of "HOST:PORT", in which an IPv6 address is enclosed in brackets.

    Args:
        text: Host and port, as in a URL without the user name.
        default_port: Port of an address without one; None if the port is required.
        lowest_port: Lowest valid port, 0 or 1; the highest is 65535.

    Returns:
        Host name in lower-case ASCII (IDNA), or IP address without brackets; port.

    Raises:
        AddressError: The address is malformed.

    >>> host_and_port("Pi.local:9000"), host_and_port("[::1]", default_port=80)
    (('pi.local', 9000), ('::1', 80))
    """
    if _is_ipv6(text) or _is_ipv6(text.rpartition(":")[0]):
        raise AddressError("an IPv6 address must be enclosed in brackets, as in [::1]")
    match = re.fullmatch(r"(?:\[([^][]*)\]|([^][:]*))(?::([^:]*))?", text)
    if match is None:
        raise AddressError("expected one host and one port")
    ipv6, name, digits = match.groups()
    if ipv6 is not None and not _is_ipv6(ipv6):
        raise AddressError("expected an IPv6 address in the brackets")
    host = ipv6 or _ascii_name(name)
    if not digits and default_port is not None:
        return host, default_port
    if not digits:
        raise AddressError("the port is missing")
    if not re.fullmatch(r"[0-9]{1,5}", digits) or not lowest_port <= int(digits) <= 65535:
        raise AddressError(f"the port is not a number from {lowest_port} to 65535")
    return host, int(digits)


def bracketed(host: str) -> str:
    """Return a host as in a URL: an IPv6 address is enclosed in brackets.

    >>> bracketed("::1"), bracketed("pi.local")
    ('[::1]', 'pi.local')
    """
    return f"[{host}]" if ":" in host else host


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return re.fullmatch(r"[0-9a-f:.]+(%[\w.-]+)?", text, re.ASCII | re.IGNORECASE) is not None  # with a simple zone


def _ascii_name(name: str) -> str:
    """Return a host name or an IPv4 address in lower-case ASCII; raise AddressError with the cause if it is neither."""
    if not name:
        raise AddressError("the host is missing")
    try:
        encoded = name.encode("idna").decode("ascii").lower()
    except UnicodeError:
        encoded = ""
    if not re.fullmatch(r"[\w.-]+", encoded, re.ASCII):
        raise AddressError("the host is neither a name nor an IP address")
    return encoded


def _without_userinfo(rest: str) -> str:
    """Return host and path of the part of a URL after ://, or `HIDDEN` if it is unclear which part is the host."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    before, at, after = rest.rpartition("@")
    if not at:
        return _host_and_path(rest)
    if "@" in authority:
        # Another @ after the authority is part of a path, or of a password that contains a slash.
        return _host_and_path(after) if len(before) < len(authority) else HIDDEN
    # The apparent path or query contains an @. If the authority is not a host, it must be part of the password.
    certain = before.count("@") == 0 and not _HOST.fullmatch(authority)
    return _host_and_path(after) if certain else HIDDEN


def _host_and_path(text: str) -> str:
    """Return host, port and path, with the path cut before the first segment that could be secret."""
    host, *segments = re.split(r"[?#]", text, maxsplit=1)[0].split("/")
    if not _HOST.fullmatch(host):
        return HIDDEN
    shown = [host]
    for segment in segments:
        plain = _decoded(segment)
        if re.search(r"[=&;:@?#\\/\x00-\x20]", plain) or _TOKEN.search(plain):
            return "/".join([*shown, HIDDEN])
        shown.append(segment)
        if _SECRET_NAME.fullmatch(plain):
            return "/".join([*shown, HIDDEN])
    return "/".join(shown)


def _decoded(text: str) -> str:
    """Return text without percent-encoding, even if it was encoded several times."""
    for _ in range(4):
        text, before = unquote(text), text
        if text == before:
            break
    return text
