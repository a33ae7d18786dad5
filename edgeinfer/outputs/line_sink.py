"""Common part of the sinks that write lines: options, opening and closing of the file."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import ClassVar, Self, TypedDict, Unpack

from edgeinfer.outputs.line_file import LINE_END
from edgeinfer.outputs.line_writer import LineWriter
from edgeinfer.outputs.rotation import Rotation


class LineOptions(TypedDict, total=False):
    """Options of a `LineSink`.

    Attributes:
        append: Append to an existing file instead of replacing it; False by default.
        rotation: Rules for splitting the file; None by default.
        flush_s: Longest time that a line for a file stays in the buffer, in seconds, 0..3600; 1 by default.
        no_overwrite: Refuse an existing file; False by default.
    """

    append: bool
    rotation: Rotation | None
    flush_s: float
    no_overwrite: bool


class LineSink(AbstractContextManager["LineSink"]):
    """Sink that writes lines; subclasses define `start` and `write`."""

    _record_end: ClassVar[bytes] = LINE_END

    def __init__(self, target: str, **options: Unpack[LineOptions]) -> None:
        """Validate the arguments; the file is opened by `__enter__`.

        Args:
            target: Path, or "-" for stdout.
            options: Options of the `LineWriter`, of the same names.

        Raises:
            UsageError: `flush_s` is out of range.
            OutputError: The folder of the file does not exist.
        """
        self._lines = LineWriter(target, record_end=self._record_end, **options)

    def __enter__(self) -> Self:
        """Open the file.

        Raises:
            OutputError: The file cannot be created or opened for writing, or exists and must not be overwritten.
        """
        self._lines.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close the file."""
        self._lines.__exit__(kind)
