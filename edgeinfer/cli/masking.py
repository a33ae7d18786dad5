"""Removal of secrets on the command line and in the environment from everything that is printed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from itertools import pairwise

from edgeinfer.url import HIDDEN, hide_addresses

_PREFIX = "EDGEINFER_"
_TOKEN_FLAG, _TOKEN_VARIABLE = "--preview-token", "EDGEINFER_PREVIEW_TOKEN"


def masked(text: str) -> str:
    """Return a message without the credentials in any argument or variable of this process.

    The library masks addresses in its own messages; this covers messages from other libraries that quote one.
    """
    for token in _tokens():
        text = text.replace(token, HIDDEN) if token else text
    return hide_addresses(text, _addresses())


def _addresses() -> Iterator[str]:
    for argument in sys.argv[1:]:
        yield argument.partition("=")[2] if argument.startswith("--") else argument
    yield from (value for name, value in os.environ.items() if name.startswith(_PREFIX))


def _tokens() -> Iterator[str]:
    yield os.environ.get(_TOKEN_VARIABLE, "")
    for argument, following in pairwise([*sys.argv[1:], ""]):
        if argument == _TOKEN_FLAG:
            yield following
        elif argument.startswith(f"{_TOKEN_FLAG}="):
            yield argument.partition("=")[2]
