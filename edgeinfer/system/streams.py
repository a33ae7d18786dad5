"""Standard streams of a command: closed ones are replaced, and a failed stdout is detected."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from edgeinfer.errors import OutputError


def open_standard_streams() -> None:
    """Open the file descriptors 0, 1 and 2 if the parent process closed them; call this before any file is opened.

    Otherwise the first files that the program opens would receive these numbers, and messages would be written into
    them. A closed stdin reads as empty, writing to a closed stdout fails, and a closed stderr discards everything.
    """
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # receives the lowest free number, which is this one
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - a descriptor
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


@contextmanager
def checked_streams() -> Iterator[None]:
    """Make a failed write to `sys.stdout` raise `OutputError`, and ignore a failed write to `sys.stderr`.

    At the end of the block, content that cannot be written is discarded, so that the interpreter exits without a
    further error.
    """
    with _replaced("stdout", _CheckedText), _replaced("stderr", _TolerantText):
        yield


@contextmanager
def _replaced(name: str, kind: type[io.TextIOWrapper]) -> Iterator[None]:
    original = getattr(sys, name)
    if getattr(original, "buffer", None) is None:  # replaced by the caller
        yield
        return
    stream = kind(
        original.buffer,
        encoding=original.encoding,
        errors="backslashreplace" if original.errors == "strict" else original.errors,  # file names may be invalid
        line_buffering=original.line_buffering or name == "stderr",
        write_through=original.write_through,
    )
    setattr(sys, name, stream)
    try:
        yield
    finally:
        setattr(sys, name, original)
        try:
            stream.flush()
            original.flush()
        except OSError:
            _discard_output(original)
        stream.detach()


def _discard_output(stream: TextIO) -> None:
    """Redirect the descriptor of a stream to the null device, so that pending content is lost without an error."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError, ValueError):
        os.dup2(devnull, stream.fileno())
    os.close(devnull)


class _CheckedText(io.TextIOWrapper):
    """Text stream of stdout that raises `OutputError` for operating system errors."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            raise _stdout_error(error) from error

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise _stdout_error(error) from error


class _TolerantText(io.TextIOWrapper):
    """Text stream of stderr that ignores operating system errors."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def _stdout_error(error: OSError) -> OutputError:
    return OutputError(f"cannot write stdout: {error.strerror or error}")
