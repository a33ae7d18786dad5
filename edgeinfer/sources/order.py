"""Natural order of paths, and lists of file names in messages."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgeinfer.errors import shown_path

LISTED_FILES = 10
"""Maximum number of files that a message names; the others are only counted."""

_NUMBER = re.compile("[0-9]+")


def natural_key(path: str) -> str:
    r"""Return a case-insensitive sort key that compares the numbers in names by value, and paths name by name.

    >>> sorted(["b10.jpg", "B2.jpg", "b/1.jpg"], key=natural_key)
    ['b/1.jpg', 'B2.jpg', 'b10.jpg']
    """
    # \0, which no name contains, sorts first: "a" precedes "a1". Names that are equal so far are compared as given.
    return "\0".join(f"{_NUMBER.sub(_number_key, name.casefold())}\0{name}" for name in path.split("/"))


def listed(names: Sequence[str], separator: str) -> str:
    """Join the first names, made safe for a message, and count the others."""
    shown = separator.join(shown_path(name) for name in names[:LISTED_FILES])
    return shown if len(names) <= LISTED_FILES else f"{shown}{separator}and {len(names) - LISTED_FILES} more"


def _number_key(number: re.Match[str]) -> str:
    """Return the number of digits as a character, followed by the digits, so that longer numbers sort later."""
    digits = number[0].lstrip("0")
    return f"\1{chr(1 + len(digits))}{digits}"
