"""What can go wrong, drawn as a tree. Each leaf is also the builtin that it is.

    EdgeInferError
    ├── UsageError(ValueError)                        exit code 2
    ├── CapabilityError(RuntimeError)                 exit code 3
    ├── SourceError(OSError)                          exit code 4
    │   ├── SourceNotFoundError(FileNotFoundError)    exit code 4
    │   └── SourceLostError(ConnectionError)          exit code 7
    ├── ModelError(ValueError)                        exit code 5
    │   └── ModelNotFoundError(FileNotFoundError)     exit code 5
    └── OutputError(OSError)                          exit code 6

`except EdgeInferError` catches everything that the library raises on purpose; its text says what happened,
what was expected and what to do.
"""

from __future__ import annotations


class EdgeInferError(Exception):
    """Root of the tree.

    Attributes:
        exit_code: what the command line returns for it.
    """

    exit_code = 1

    def __str__(self) -> str:
        """The message alone, without the errno that OSError puts before it."""
        return str(self.args[0]) if self.args else type(self).__name__


class UsageError(EdgeInferError, ValueError):
    """An option or argument has no meaning here."""

    exit_code = 2


class CapabilityError(EdgeInferError, RuntimeError):
    """This installation lacks something that the request needs."""

    exit_code = 3


class SourceError(EdgeInferError, OSError):
    """A video, picture, camera or stream cannot be opened or read."""

    exit_code = 4


class SourceNotFoundError(SourceError, FileNotFoundError):
    """Nothing lies at the source's path."""


class SourceLostError(SourceError, ConnectionError):
    """A live source that had delivered frames is gone for good."""

    exit_code = 7


class ModelError(EdgeInferError, ValueError):
    """A model file is invalid or does not say how to use it."""

    exit_code = 5


class ModelNotFoundError(ModelError, FileNotFoundError):
    """No model file lies at the path."""


class OutputError(EdgeInferError, OSError):
    """An output cannot be created or written."""

    exit_code = 6


def one_line(text: str) -> str:
    """Text from a stranger, safe to print: no line ends, no control sequences of a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)
