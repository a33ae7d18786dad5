"""Line-wise output to a file, stdout, a pipe or a device, with buffering, rotation and appending."""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from io import FileIO
from typing import Self

from edgeinfer.errors import OutputError, UsageError, exists_already, shown_path
from edgeinfer.outputs.line_file import (
    BUFFER_BYTES,
    HEADER_BYTES,
    LINE_END,
    LockedError,
    blocks,
    complete_bytes,
    complete_records_bytes,
    is_ours,
    open_locked,
)
from edgeinfer.outputs.rotation import Rotation
from edgeinfer.system import interrupts
from edgeinfer.system.paths import local_path
from edgeinfer.system.portable import PIPE_BYTES

STDOUT = "-"
FLUSH_S = 1.0
"""Longest time that a line stays in the buffer, in seconds; a killed process loses at most this much."""
LINES_KEPT = "; lines written so far are kept"
"""Advice in the message of a failed write."""
_HELD_LINES = 1000


class LineWriter(AbstractContextManager["LineWriter"]):
    """Writer of whole lines to one output.

    A regular file is written in blocks, which reduces wear of SD cards; a timer flushes the buffer if no further line
    follows. All other outputs receive each line immediately. A partially written line is removed.

    A file that is to be replaced keeps its content until `commit`, which the sinks call with the first frame; if the
    run fails earlier, the file is left unchanged. A new file is removed if the run fails before `start`.
    """

    _file: FileIO

    def __init__(
        self,
        target: str,
        *,
        append: bool = False,
        rotation: Rotation | None = None,
        flush_s: float = FLUSH_S,
        no_overwrite: bool = False,
        record_end: bytes = LINE_END,
    ) -> None:
        """Validate the arguments; the file is opened by `__enter__`.

        Args:
            target: Path, or "-" for stdout.
            append: Append to an existing file instead of replacing it.
            rotation: Rules for splitting a regular file; other outputs are never split.
            flush_s: Longest time that a line stays in the buffer, in seconds, 0..3600; 0 writes each line immediately.
            no_overwrite: Refuse an existing regular file; it is created exclusively.
            record_end: End of each record that is written completely or not at all; a record has whole lines.

        Raises:
            UsageError: `flush_s` is out of range.
            OutputError: The folder of the file does not exist.
        """
        if not 0 <= flush_s <= 3600:
            raise UsageError(f"invalid flush_s {flush_s:g}: expected a value between 0 and 3600 seconds")
        self._is_stdout = target == STDOUT
        self._name = "stdout" if self._is_stdout else target
        self._path = local_path(target, OutputError, expand_home=False).absolute()
        self._append, self._rotation, self._flush_s = append, rotation, flush_s
        self._no_overwrite, self._record_end, self._parts = no_overwrite, record_end, 1
        self._lock = threading.Lock()
        self._buffer: list[bytes] = []
        self._buffered_bytes = 0
        self._unfinished_from: int | None = None
        self._timer: threading.Timer | None = None
        self._late_error: OutputError | None = None
        self._regular = self._created = self._committed = self._has_links = False
        self._started_s = 0.0
        with self._output_errors("; check that its folder exists and is writable"):
            if not self._is_stdout and not self._path.parent.is_dir():
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    def __enter__(self) -> Self:
        """Open the file without changing it.

        Raises:
            OutputError: The file cannot be created or opened for writing, another run is writing it, or it exists and
                must not be overwritten.
        """
        self._created = not self._is_stdout and not self._path.exists()
        with self._output_errors("; check that its folder exists and is writable"):
            self._file = FileIO(1, "wb", closefd=False) if self._is_stdout else self._open()
        status = os.fstat(self._file.fileno())
        self._regular = not self._is_stdout and stat.S_ISREG(status.st_mode)
        self._has_links = self._regular and status.st_nlink > 0  # some file systems do not count links
        self._committed = not self._regular
        self._started_s = time.time()
        return self

    def _open(self) -> FileIO:
        try:
            return open_locked(self._path, new=self._no_overwrite)
        except FileExistsError as error:
            raise OutputError(exists_already(self._name)) from error
        except LockedError as error:
            raise OutputError(
                f"cannot write {self._name}: another run is writing this file; choose another name or stop that run"
            ) from error

    def start(
        self, beginning: str, is_header: Callable[[bytes], bool] = lambda _: True, *, joins_runs: bool = True
    ) -> bool:
        """Prepare the file for the first line.

        Args:
            beginning: Required beginning of a file that is appended to. If only a part of it was written, the file is
                treated as empty.
            is_header: Further check of the first line of a file that is appended to.
            joins_runs: False to make a file of an earlier run a finished part, as the rotation names it.

        Returns:
            True if the following lines are appended to existing ones.

        Raises:
            OutputError: The file starts differently, cannot be read, or cannot be written; it is unchanged.
        """
        if self._committed:
            return False
        if not self._append:
            if not os.fstat(self._file.fileno()).st_size:
                self.commit()
            return False
        with self._output_errors("; `append` requires read permission"), self._path.open("rb") as existing:
            self._started_s = os.fstat(existing.fileno()).st_mtime
            first_line = existing.readline(HEADER_BYTES + 1)
            complete = first_line.endswith(b"\n")
            if not is_ours(first_line, beginning.encode(), is_header):
                raise OutputError(
                    f"cannot append to {self._name}: its first line does not match the format and the labels of this "
                    "run; move the file away or choose another name"
                )
            self._file.truncate(complete_records_bytes(existing, self._record_end))
        self._committed = True
        if complete and (self.due or not joins_runs):
            with self._lock:
                self._start_part(ended_s=self._started_s)
            return False
        return complete

    def commit(self) -> None:
        """Replace the content of an existing file with the lines that were written so far.

        Further calls have no effect.

        Raises:
            OutputError: The file cannot be written.
        """
        if self._committed:
            return
        with self._lock:
            with self._output_errors():
                self._file.truncate(0)
            self._committed = True
            self._flush_or_schedule()

    @property
    def due(self) -> bool:
        """True if the rotation requires a new part now."""
        if self._rotation is None or not self._regular:
            return False
        with self._lock:
            size = os.fstat(self._file.fileno()).st_size + self._buffered_bytes
        return self._rotation.due(size_bytes=size, began_s=self._started_s, now_s=time.time())

    def split(self) -> None:
        """Rename the current part and continue in a new, empty file.

        Raises:
            OutputError: The last lines cannot be written, or the part cannot be renamed.
        """
        with self._lock:
            self._flush()
            self._start_part(ended_s=time.time())
            self._parts += 1

    def _start_part(self, *, ended_s: float) -> None:
        if self._rotation is None:
            return
        with self._output_errors("; the finished part cannot be renamed"):
            # A symbolic link stays in place; its target is renamed.
            self._rotation.archive(self._path.resolve(), ended_s)
            finished, self._file = self._file, self._open()
            finished.close()
        self._started_s = time.time()

    def written(self, content: str) -> tuple[str, ...]:
        """Return the path with a description of the content, for the summary of a run; nothing for stdout.

        Args:
            content: Description of all lines written so far, such as "4 rows".
        """
        if self._is_stdout or not self._committed:
            return ()
        parts = f", split into {self._parts} files" if self._parts > 1 else ""
        return (f"{shown_path(self._name)} ({content}{parts})",)

    def write(self, text: str) -> None:
        """Write whole lines: all of them, or none.

        Raises:
            OutputError: These or earlier lines cannot be written; lines in the file are kept.
        """
        data = text.encode()
        with self._lock:
            self._raise_late_error()
            if not data:
                return
            if not self._regular:
                with self._output_errors():
                    self._write_all(data)
                return
            self._buffer.append(data)
            self._buffered_bytes += len(data)
            if self._committed:
                self._flush_or_schedule()
            elif len(self._buffer) > _HELD_LINES:
                # The first line is the header; the rest are source states, of which a long wait drops the oldest.
                self._buffered_bytes -= len(self._buffer.pop(1))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Flush the buffer and close the file; stdout stays open.

        If an exception ends the run before `commit`, the lines are discarded and the file is left unchanged.

        Raises:
            OutputError: Lines could not be written, and no earlier call has raised this.
        """
        try:
            if kind is None and self._buffer:
                self.commit()
        finally:
            with self._lock:
                self._close(succeeded=kind is None)

    def _close(self, *, succeeded: bool) -> None:
        if self._timer is not None:
            self._timer.cancel()
        try:
            self._raise_late_error()
            if self._committed:
                self._flush()
                if succeeded and not self._file.closed:
                    self._check_exists(os.fstat(self._file.fileno()))
        finally:
            unused = self._created and not self._committed and not os.fstat(self._file.fileno()).st_size
            with self._output_errors():
                self._file.close()
            if unused:
                with suppress(OSError):
                    self._path.resolve().unlink()

    def _flush_or_schedule(self) -> None:
        """Flush a full buffer; otherwise start the timer that flushes it."""
        if self._flush_s == 0 or self._buffered_bytes >= BUFFER_BYTES:
            self._flush()
        elif self._timer is None and self._buffer:
            self._timer = threading.Timer(self._flush_s, self._flush_late)
            self._timer.daemon = True
            self._timer.start()

    def _flush_late(self) -> None:
        with self._lock:
            self._timer = None
            try:
                self._flush()
            except OutputError as error:  # raised by the next write or by __exit__
                self._late_error = error

    def _raise_late_error(self) -> None:
        error, self._late_error = self._late_error, None
        if error is not None:
            raise error

    def _flush(self) -> None:
        if not self._buffer:
            return
        data = b"".join(self._buffer)
        try:
            with self._output_errors():
                self._write_blocks(data)
        except OutputError:
            self._clear_buffer()
            raise
        self._clear_buffer()

    def _clear_buffer(self) -> None:
        self._buffer, self._buffered_bytes, self._unfinished_from = [], 0, None

    def _write_blocks(self, data: bytes) -> None:
        if self._unfinished_from is not None:  # a signal interrupted the last attempt at an unknown position
            self._file.truncate(self._unfinished_from)
        status = os.fstat(self._file.fileno())
        self._check_exists(status)
        end = self._unfinished_from = status.st_size
        for block in blocks(data, end, self._record_end):
            try:
                self._write_all(block)
            except OSError:
                written = os.fstat(self._file.fileno()).st_size - end
                self._file.truncate(end + complete_bytes(block[:written], self._record_end))
                raise
            end += len(block)

    def _check_exists(self, status: os.stat_result) -> None:
        """Raise `OutputError` if the file was deleted, because everything written to it would be lost."""
        if self._has_links and not status.st_nlink:
            raise OutputError(f"cannot write {self._name}: the file was deleted during the run")

    def _write_all(self, data: bytes) -> None:
        while data:
            if self._regular:
                block = data
            else:  # a pipe whose reader is slow must not block a signal
                interrupts.wait_writable(self._file.fileno())
                block = data[:PIPE_BYTES]
            data = data[self._file.write(block) or 0 :]

    @contextmanager
    def _output_errors(self, advice: str = LINES_KEPT) -> Iterator[None]:
        """Convert OSError to OutputError."""
        try:
            yield
        except OutputError:
            raise
        except OSError as error:
            raise OutputError(f"cannot write {self._name}: {error.strerror}{advice}") from error
