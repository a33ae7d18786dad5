"""Files of whole lines: opening with a lock, recognition of earlier content, and blocks that survive a kill."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from io import BufferedReader, FileIO
from pathlib import Path

from edgeinfer.system.portable import BINARY, read_at, try_lock

BUFFER_BYTES = 1 << 16
PAGE_BYTES = 4096
LINE_END = b"\n"
HEADER_BYTES = 1 << 20
"""Maximum length of a first line."""
RECOGNIZABLE_BYTES = 16
"""Length at which an incomplete first line is attributed to edgeinfer; a shorter one may be from another program."""


class LockedError(Exception):
    """Another run is writing the file."""


def open_locked(path: Path, *, new: bool = False, append: bool = True) -> FileIO:
    """Open a file for writing, without changing it, and lock it until it is closed.

    Pipes and devices are not locked.

    Args:
        path: Path of the file.
        new: True to require that the file does not exist; a pipe or a device may exist.
        append: True if each write goes to the end of the file, False if to the current position, at first 0.

    Raises:
        LockedError: Another run is writing the file.
        FileExistsError: The file exists, or is a symbolic link, although it must be new.
        OSError: The file cannot be created or opened.
    """
    flags = os.O_WRONLY | os.O_CREAT | BINARY | (os.O_APPEND if append else 0)
    flags |= os.O_EXCL if new and not is_pipe_or_device(path) else 0
    while True:
        file = FileIO(os.open(path, flags, 0o666), "wb")
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            return file
        if not try_lock(file.fileno()):
            file.close()
            raise LockedError
        if _is_at(path, status):
            return file
        file.close()  # another run has renamed it in between, for example to a finished part


def is_pipe_or_device(path: Path) -> bool:
    """Return True if a path exists and is not a regular file or a folder."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def is_ours(first_line: bytes, beginning: bytes, is_header: Callable[[bytes], bool]) -> bool:
    """Return True if the first line of a file, which may be incomplete, was written by a run of the same format.

    Args:
        first_line: First line with its line end; without one, the line is incomplete.
        beginning: Required beginning of the line.
        is_header: Further check of a complete line.
    """
    if first_line.endswith(b"\n"):
        return first_line.startswith(beginning) and is_header(first_line)
    if not first_line:
        return True
    if len(first_line) > HEADER_BYTES:
        return False
    common = min(len(first_line), len(beginning))
    return common >= RECOGNIZABLE_BYTES and first_line[:common] == beginning[:common]


def complete_records_bytes(file: BufferedReader, record_end: bytes) -> int:
    """Return the size of a file up to the end of its last complete record, in bytes.

    Args:
        file: Open file.
        record_end: End of each record: a line end for lines, two for cues of subtitles.
    """
    end = os.fstat(file.fileno()).st_size
    while end:
        start = max(0, end - BUFFER_BYTES)
        found = complete_bytes(read_at(file.fileno(), end - start + len(record_end) - 1, start), record_end)
        if found:
            return start + found
        end = start
    return 0


def complete_bytes(data: bytes, record_end: bytes) -> int:
    """Return the size of the complete records at the beginning of data, in bytes."""
    found = data.rfind(record_end)
    return 0 if found < 0 else found + len(record_end)


def blocks(data: bytes, offset: int, record_end: bytes = LINE_END) -> Iterator[bytes]:
    """Split records into blocks, each of which ends with the last record before a page boundary of the file.

    If a process is killed during a write, Linux ends the write at a page boundary. With these blocks, only a record
    that crosses such a boundary can be truncated.
    """
    while data:
        end = complete_bytes(data[: PAGE_BYTES - offset % PAGE_BYTES], record_end)
        end = end or data.index(record_end) + len(record_end)
        yield data[:end]
        data, offset = data[end:], offset + end


def _is_at(path: Path, status: os.stat_result) -> bool:
    """Return True if the opened file is still the one at the path."""
    try:
        return os.path.samestat(path.stat(), status)
    except FileNotFoundError:
        return False
