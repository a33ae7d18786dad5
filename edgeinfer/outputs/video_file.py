"""File that receives an encoded video."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from edgeinfer.outputs.line_file import LockedError, open_locked


class VideoFile:
    """File object for PyAV, unbuffered, so that a killed process loses only what the muxer has not written.

    PyAV receives this object instead of a name, which FFmpeg could take for a protocol or a pattern. It uses `write`,
    `seekable`, `seek` and `tell`, and re-raises their exceptions.
    """

    def __init__(self, path: Path) -> None:
        """Open a file, empty it, and lock it until it is closed.

        Raises:
            OSError: The file cannot be opened, or another run is writing it.
        """
        try:
            self._file = open_locked(path, append=False)
        except LockedError as error:
            raise OSError(
                errno.EWOULDBLOCK, "another run is writing this file; choose another name or stop that run"
            ) from error
        status = os.fstat(self._file.fileno())
        self._is_regular = stat.S_ISREG(status.st_mode)
        self._has_links = self._is_regular and status.st_nlink > 0  # some file systems do not count links
        if self._is_regular:
            self._file.truncate(0)

    def write(self, data: bytes) -> int:
        """Write all of the data.

        Raises:
            OSError: The disk is full, or the file was deleted.
        """
        if self._has_links and os.fstat(self._file.fileno()).st_nlink == 0:
            raise OSError(errno.ENOENT, "the file was deleted during the run")
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        return len(data)

    def seekable(self) -> bool:
        """Return False for a pipe or a device."""
        return self._is_regular

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position and return it, in bytes from the beginning."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position in bytes from the beginning."""
        return self._file.tell()

    def release(self) -> None:
        """Close the file and release its lock.

        Raises:
            OSError: A network file system reports a write that failed.
        """
        self._file.close()
