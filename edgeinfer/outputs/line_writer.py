"""Whole lines into a file, stdout, a pipe or a device: gathered, split into parts, continued."""

from __future__ import annotations

import os
import select
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from edgeinfer.errors import OutputError, UsageError
from edgeinfer.outputs.rotation import Rotation

STDOUT = "-"
FLUSH_S = 1.0
"""How long a line may wait for others, in seconds: what a kill can cost."""

_MOST_WAITING = 1 << 16
_PAGE = 4096


class LineWriter:
    """Whole lines into one output.

    A regular file gets them in blocks, to spare an SD card; a timer writes them also when no further line comes. All
    else gets each line at once. What went in of a line that did not fit is taken back.
    """

    def __init__(
        self, target: str, *, append: bool = False, rotation: Rotation | None = None, flush_s: float = FLUSH_S
    ) -> None:
        """Open a file, or stdout for "-".

        Args:
            target: path, or "-".
            append: continue an older file instead of emptying it.
            rotation: when to split a regular file; others are never split.
            flush_s: how long a line waits at most, in seconds; 0 writes each at once.

        Raises:
            UsageError: flush_s is below 0 or above an hour.
            OutputError: it cannot be written.
        """
        if not 0 <= flush_s <= 3600:
            raise UsageError(f"lines wait between 0 and 3600 seconds, not {flush_s:g}")
        self._name = "stdout" if target == STDOUT else target
        self._path = Path(target).absolute()
        self._append, self._rotation, self._flush_s = append, rotation, flush_s
        self._lock = threading.Lock()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._written_to: int | None = None
        self._timer: threading.Timer | None = None
        self._late_error: OutputError | None = None
        self._began_s = time.time()
        with self._reported("; does its folder exist?"):
            # An older file is emptied by `start` only, so that a source that cannot be read costs nobody his results.
            self._file = FileIO(1, "wb", closefd=False) if target == STDOUT else self._open()
        self._regular = target != STDOUT and stat.S_ISREG(os.fstat(self._file.fileno()).st_mode)

    def _open(self) -> FileIO:
        return FileIO(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666), "wb")

    def start(self, beginning: str) -> bool:
        """Empty an older file, or make it ready to be continued: a part of a line at its end is cut off.

        Args:
            beginning: what a file that is continued has to begin with.

        Returns:
            Whether there is something to continue.

        Raises:
            OutputError: it begins with something else, cannot be written, or not be read to be continued.
        """
        if not self._regular:
            return False
        if not self._append:
            with self._reported():
                self._file.truncate(0)
            return False
        with self._reported("; continuing needs the right to read it, too"), self._path.open("rb") as older:
            self._began_s = os.fstat(older.fileno()).st_mtime
            first = older.readline(_MOST_WAITING)
            continued = first.endswith(b"\n")
            if not continued or first.startswith(beginning.encode()):
                self._file.truncate(_whole_bytes(older.fileno()))
        if continued and not first.startswith(beginning.encode()):
            raise OutputError(
                f"cannot continue {self._name}: it begins unlike a file of this model's results; move it away"
            )
        if continued and self.due:
            self.split(ended_s=self._began_s)
            return False
        return continued

    @property
    def due(self) -> bool:
        """Whether the rotation wants a new part now."""
        if self._rotation is None or not self._regular:
            return False
        with self._lock:
            size = os.fstat(self._file.fileno()).st_size + self._waiting_bytes
        return self._rotation.due(size_bytes=size, began_s=self._began_s, now_s=time.time())

    def split(self, *, ended_s: float | None = None) -> None:
        """File the current part away under a name of its own and go on in a new, empty file.

        Args:
            ended_s: when the part ended, in seconds since 1970; now unless given.

        Raises:
            OutputError: its last lines cannot be written, it cannot be renamed, or no new file be made.
        """
        if self._rotation is None:
            return
        now_s = time.time()
        with self._lock:
            self._flush()
            with self._reported("; the finished part could not be filed away"):
                # A link stays where it is, its file is renamed.
                self._rotation.file_away(self._path.resolve(), now_s if ended_s is None else ended_s)
                finished, self._file = self._file, self._open()
                finished.close()
            self._began_s = now_s

    def write(self, text: str) -> None:
        """Take whole lines, or none.

        Raises:
            OutputError: they, or lines that waited before, cannot be written. What went in before stays.
        """
        data = text.encode()
        with self._lock:
            self._raise_late_error()
            if not data:
                return
            if not self._regular:
                with self._reported():
                    self._put(data)
                return
            self._waiting.append(data)
            self._waiting_bytes += len(data)
            if self._flush_s == 0 or self._waiting_bytes >= _MOST_WAITING:
                self._flush()
            elif self._timer is None:
                self._timer = threading.Timer(self._flush_s, self._flush_late)
                self._timer.daemon = True
                self._timer.start()

    def close(self) -> None:
        """Write what waits and close the file; stdout stays open.

        Raises:
            OutputError: something could not be written, and nobody was told so yet.
        """
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            try:
                self._raise_late_error()
                self._flush()
            finally:
                with self._reported():
                    self._file.close()

    def _flush_late(self) -> None:
        with self._lock:
            self._timer = None
            try:
                self._flush()
            except OutputError as error:  # raised by the next write, or by close
                self._late_error = error

    def _raise_late_error(self) -> None:
        error, self._late_error = self._late_error, None
        if error is not None:
            raise error

    def _flush(self) -> None:
        if not self._waiting:
            return
        data = b"".join(self._waiting)
        try:
            with self._reported():
                self._put_blocks(data)
        except OutputError:
            self._forget()
            raise
        self._forget()

    def _forget(self) -> None:
        self._waiting, self._waiting_bytes, self._written_to = [], 0, None

    def _put_blocks(self, data: bytes) -> None:
        if self._written_to is not None:  # a signal broke the last attempt off; nobody knows how far it got
            self._file.truncate(self._written_to)
        end = self._written_to = os.fstat(self._file.fileno()).st_size
        for block in _blocks(data, end):
            try:
                self._put(block)
            except OSError:
                kept = os.fstat(self._file.fileno()).st_size - end
                self._file.truncate(end + block.rfind(b"\n", 0, kept) + 1)
                raise
            end += len(block)

    def _put(self, data: bytes) -> None:
        while data:
            written = self._file.write(data)
            if written is None:  # a pipe that does not block is full
                select.select([], [self._file], [])
            else:
                data = data[written:]

    @contextmanager
    def _reported(self, advice: str = "; what was written before is kept") -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"cannot write {self._name}: {error.strerror}{advice}") from error


def _blocks(data: bytes, at: int) -> Iterator[bytes]:
    """Whole lines in blocks that end before a page of the file does.

    Linux ends a write of a killed process where two pages meet. Only a line that lies across such a place is in danger,
    for the moment of its own write.
    """
    while data:
        end = data.rfind(b"\n", 0, _PAGE - at % _PAGE) + 1 or data.index(b"\n") + 1
        yield data[:end]
        data, at = data[end:], at + end


def _whole_bytes(handle: int) -> int:
    """Where the last whole line of a file ends, in bytes."""
    end = os.fstat(handle).st_size
    while end:
        start = max(0, end - _MOST_WAITING)
        found = os.pread(handle, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
