"""URL schemes, and removal of credentials from URLs."""

from __future__ import annotations

import re


def without_credentials(url: str) -> str:
    """Return a URL without user name, password, query and fragment; a query may contain an API key.

    Text without "://" is returned unchanged.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    rest = rest.partition("?")[0].partition("#")[0]
    authority = rest.partition("/")[0]
    if "@" not in authority and "@" in rest and not authority.rpartition(":")[2].isdecimal() and ":" in authority:
        # The password contains an unescaped slash, so the apparent path begins within the password.
        return f"{scheme}://{rest.rpartition('@')[2]}"
    return f"{scheme}://{authority.rpartition('@')[2]}{rest[len(authority) :]}"


def scheme(address: str) -> str | None:
    """Return the lower-case scheme of an address, or None for a path."""
    match = re.match(r"([a-z][a-z0-9+.-]*):", address, re.IGNORECASE)
    return match[1].lower() if match else None
