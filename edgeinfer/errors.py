"""Exceptions of the library. Each concrete error also subclasses the matching built-in exception.

    EdgeInferError
    ├── UsageError(ValueError)                        exit code 2
    ├── CapabilityError(RuntimeError)                 exit code 3
    ├── SourceError(OSError)                          exit code 4
    │   ├── SourceNotFoundError(FileNotFoundError)    exit code 4
    │   └── SourceLostError(ConnectionError)          exit code 7
    ├── ModelError(ValueError)                        exit code 5
    │   └── ModelNotFoundError(FileNotFoundError)     exit code 5
    └── OutputError(OSError)                          exit code 6

`except EdgeInferError` catches every error that the library raises on purpose. Its message states what happened, what
was expected and what to do. A message puts names of parameters in backticks; the command line replaces them with flags.
"""

from __future__ import annotations

import re
from pathlib import Path


class EdgeInferError(Exception):
    """Base class of all errors that the library raises on purpose.

    Attributes:
        exit_code: Exit code of the command line for this error.

    Examples:
        >>> import edgeinfer
        >>> try:
        ...     edgeinfer.open_source("missing.mp4")
        ... except edgeinfer.EdgeInferError as error:
        ...     print(type(error).__name__, error.exit_code)
        SourceNotFoundError 4
    """

    exit_code = 1

    def __str__(self) -> str:
        """Return the message without the errno that OSError prepends."""
        return str(self.args[0]) if self.args else type(self).__name__


class UsageError(EdgeInferError, ValueError):
    """An argument or option has an invalid value, or cannot be combined with another one.

    Examples:
        >>> import edgeinfer
        >>> edgeinfer.load_pipeline(detect_every=0)
        Traceback (most recent call last):
        edgeinfer.errors.UsageError: ...
    """

    exit_code = 2


class CapabilityError(EdgeInferError, RuntimeError):
    """This installation lacks a feature, such as an optional package or OpenCV GUI support."""

    exit_code = 3


class SourceError(EdgeInferError, OSError):
    """A video, picture, camera or stream cannot be opened or read."""

    exit_code = 4


class SourceNotFoundError(SourceError, FileNotFoundError):
    """No file or device exists at the path of the source."""


class SourceLostError(SourceError, ConnectionError):
    """A live source that had delivered frames failed, and all reconnects failed or were disabled."""

    exit_code = 7


class ModelError(EdgeInferError, ValueError):
    """A model file is invalid, lacks metadata or violates the admission rules."""

    exit_code = 5


class ModelNotFoundError(ModelError, FileNotFoundError):
    """No model file exists at the path, and no bundled model has that name."""


class OutputError(EdgeInferError, OSError):
    """An output cannot be created or written."""

    exit_code = 6


def one_line(text: str) -> str:
    r"""Return untrusted text with line breaks and terminal control characters replaced by spaces.

    >>> one_line("first\nsecond")
    'first second'
    """
    return "".join(character if character.isprintable() else " " for character in text)


def path_text(path: str | Path) -> str:
    r"""Return a path as valid Unicode text, in which a byte that is not UTF-8 is written as \xNN.

    Python represents such a byte as a lone surrogate, which cannot be written to JSON, CSV or a terminal.

    >>> print(path_text("caf\udce9.jpg"))
    caf\xe9.jpg
    """
    return re.sub("[\ud800-\udfff]", _escaped_surrogate, str(path))


def shown_path(path: str | Path) -> str:
    r"""Return a path for a message: on one line, without control characters, and with at most 200 characters.

    >>> shown_path("a\nb.jpg"), len(shown_path("x" * 5000))
    ('a b.jpg', 200)
    """
    text = one_line(path_text(path))
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS // 2]}...{text[-97:]}"


def exists_already(path: str | Path) -> str:
    """Return the message about an output that must not be overwritten."""
    return f"{shown_path(path)} exists already; choose another name, or omit `no_overwrite`"


_SHOWN_CHARACTERS = 200


def _escaped_surrogate(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else "\ufffd"
