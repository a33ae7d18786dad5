"""URLs: schemes, and removal of credentials."""

from __future__ import annotations

import re


def without_credentials(url: str) -> str:
    """A URL without user name, password and query, which may hold a key."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    rest = rest.partition("?")[0].partition("#")[0]
    authority = rest.partition("/")[0]
    if "@" not in authority and "@" in rest and not authority.rpartition(":")[2].isdecimal() and ":" in authority:
        # A password with a slash that nobody escaped: what looks like a path begins inside of it.
        return f"{scheme}://{rest.rpartition('@')[2]}"
    return f"{scheme}://{authority.rpartition('@')[2]}{rest[len(authority) :]}"


def scheme(address: str) -> str | None:
    """What stands before the colon of an address, in lower case; None where it is a path."""
    found = re.match(r"([a-z][a-z0-9+.-]*):", address, re.IGNORECASE)
    return found[1].lower() if found else None
