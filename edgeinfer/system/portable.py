"""System calls that differ between Linux, macOS and Windows."""

from __future__ import annotations

import os
import select
import signal
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BINARY: int = getattr(os, "O_BINARY", 0)
"""Flag of `os.open` for content without conversion of line ends; 0 where there is no such conversion."""
NONBLOCK: int = getattr(os, "O_NONBLOCK", 0)
"""Flag of `os.open` that does not wait for a FIFO's other end; 0 where files have no such flag."""
# INTERRUPTS end a run: Ctrl-C, and a request of the system. HANG_UP restarts it; Windows has no such signal.
if sys.platform == "win32":
    INTERRUPTS, HANG_UP = (signal.SIGINT, signal.SIGBREAK), ()
else:
    INTERRUPTS, HANG_UP = (signal.SIGINT, signal.SIGTERM), (signal.SIGHUP,)
PIPE_BYTES: int = getattr(select, "PIPE_BUF", 512)
"""Largest write that a pipe with room accepts as a whole (PIPE_BUF of POSIX, where 512 is the minimum)."""
_LOCK_POSITION = 2**31 - 2
"""Position of the byte that is locked on Windows, where other handles cannot access a locked range."""


@contextmanager
def signals_blocked(numbers: Iterable[signal.Signals]) -> Iterator[None]:
    """Block signals in this thread and in the processes that it starts; do nothing on Windows."""
    if sys.platform == "win32":
        yield
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an open file against other writers until it is closed.

    The lock is advisory (flock; on Windows, one byte far behind the content, and shared locks exclude nothing). File
    systems without locks are treated as unlocked.

    Args:
        descriptor: Open file.
        shared: Allow other shared locks at the same time.

    Returns:
        False if another open file, of this or another process, holds a lock that excludes this one.
    """
    if sys.platform == "win32":
        return shared or _try_lock_byte(descriptor)
    import fcntl  # noqa: PLC0415 - POSIX only

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems have no locks
        return True
    return True


def _try_lock_byte(descriptor: int) -> bool:
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 - Windows only

        position = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, _LOCK_POSITION, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(descriptor, position, os.SEEK_SET)
    return True


def read_at(descriptor: int, size: int, position: int) -> bytes:
    """Read up to `size` bytes at a position (pread). On Windows the file position moves."""
    if sys.platform != "win32":
        return os.pread(descriptor, size, position)
    os.lseek(descriptor, position, os.SEEK_SET)
    return os.read(descriptor, size)


def write_at(descriptor: int, data: memoryview, position: int) -> int:
    """Write data at a position and return the number of bytes written (pwrite). On Windows the file position moves."""
    if sys.platform != "win32":
        return os.pwrite(descriptor, data, position)
    os.lseek(descriptor, position, os.SEEK_SET)
    return os.write(descriptor, data)


def sync_file(path: Path) -> None:
    """Wait until the content of a file is on the disk.

    Raises:
        OSError: The file cannot be opened or synchronized.
    """
    # Windows synchronizes only files that are open for writing.
    _sync(path, (os.O_RDWR if sys.platform == "win32" else os.O_RDONLY) | BINARY)


def sync_folder(folder: Path) -> None:
    """Wait until the entries of a folder are on the disk; do nothing on Windows, which cannot open folders.

    Raises:
        OSError: The folder cannot be opened or synchronized.
    """
    if sys.platform != "win32":
        _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_null_device(status: os.stat_result) -> bool:
    """Return True for the device that discards everything."""
    if not stat.S_ISCHR(status.st_mode):
        return False
    if sys.platform == "win32":  # has no other character device with a path
        return True
    try:
        return status.st_rdev == os.stat(os.devnull).st_rdev  # noqa: PTH116
    except OSError:
        return False


def send_request(descriptor: int, request: int, buffer: bytearray) -> Any:
    """Send a request to a driver (ioctl).

    Raises:
        OSError: The driver refuses it, or this system has no such requests.
    """
    if sys.platform == "win32":
        raise OSError(0, "this system has no device requests")
    import fcntl  # noqa: PLC0415 - POSIX only

    return fcntl.ioctl(descriptor, request, buffer)


def peak_resident_bytes() -> int:
    """Return the peak resident memory of this process in bytes; macOS and Linux count that of its parent too."""
    if sys.platform == "win32":
        return _peak_working_set_bytes()
    import resource  # noqa: PLC0415 - POSIX only

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _peak_working_set_bytes() -> int:
    """Return PeakWorkingSetSize of PROCESS_MEMORY_COUNTERS (psapi.h), 0 if the call fails."""
    if sys.platform != "win32":
        return 0
    import ctypes  # noqa: PLC0415
    from ctypes import wintypes  # noqa: PLC0415

    class Counters(ctypes.Structure):
        _fields_ = (
            ("size", wintypes.DWORD), ("page_faults", wintypes.DWORD), ("peak_working_set", ctypes.c_size_t),
            ("others", ctypes.c_size_t * 7),
        )  # fmt: skip

    counters = Counters(size=ctypes.sizeof(Counters))
    kernel = ctypes.WinDLL("kernel32")
    kernel.GetCurrentProcess.restype = wintypes.HANDLE
    kernel.K32GetProcessMemoryInfo.argtypes = (wintypes.HANDLE, ctypes.POINTER(Counters), wintypes.DWORD)
    kernel.K32GetProcessMemoryInfo(kernel.GetCurrentProcess(), ctypes.byref(counters), counters.size)
    return int(counters.peak_working_set)


def involuntary_switches() -> int:
    """Return the number of involuntary context switches of this process, 0 on Windows, which does not count them."""
    if sys.platform == "win32":
        return 0
    import resource  # noqa: PLC0415 - POSIX only

    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
