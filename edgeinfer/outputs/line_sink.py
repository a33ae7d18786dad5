"""Common part of the sinks that write lines: options, opening and closing of the file."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import ClassVar, Self, TypedDict

from edgeinfer.outputs.line_file import LINE_END
from edgeinfer.outputs.line_writer import FLUSH_S, LineWriter
from edgeinfer.outputs.rotation import Rotation


class LineOptions(TypedDict, total=False):
    """Options of a `LineSink`, for subclasses that have more of them."""

    append: bool
    rotation: Rotation | None
    flush_s: float
    no_overwrite: bool


class LineSink(AbstractContextManager["LineSink"]):
    """Sink that writes lines; subclasses define `start` and `write`."""

    _record_end: ClassVar[bytes] = LINE_END

    def __init__(
        self,
        target: str,
        *,
        append: bool = False,
        rotation: Rotation | None = None,
        flush_s: float = FLUSH_S,
        no_overwrite: bool = False,
    ) -> None:
        """Validate the arguments; the file is opened by `__enter__`.

        Args:
            target: Path, or "-" for stdout.
            append: Append to an existing file instead of replacing it.
            rotation: Rules for splitting the file, or None.
            flush_s: Longest time that a line for a file stays in the buffer, in seconds, 0..3600.
            no_overwrite: Refuse an existing file.

        Raises:
            UsageError: `flush_s` is out of range.
            OutputError: The folder of the file does not exist.
        """
        self._lines = LineWriter(
            target, append=append, rotation=rotation, flush_s=flush_s, no_overwrite=no_overwrite,
            record_end=self._record_end,
        )  # fmt: skip

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
