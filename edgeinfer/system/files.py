"""Atomic replacement of files."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PARTIAL_PREFIX = ".partial."
"""Beginning of the name of a file that is not complete."""
_MAX_NAME_BYTES = 255


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Provide a temporary path and rename it to `path` if the block succeeds.

    A file with the final name is never partial: if the block raises, the temporary file is removed and an existing file
    keeps its content. A symbolic link stays in place, and an existing file keeps its permissions. A device or a pipe
    is written directly.

    Args:
        path: Path of the file to create or replace.

    Yields:
        Path in the same folder, in most cases with the same suffixes (see `hidden_name`); the block writes this file.

    Raises:
        OSError: The existing file is read-only, or the file cannot be renamed.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and not stat.S_ISREG(mode):
        yield path
        return
    target = Path(os.path.realpath(path))
    if mode is not None and not os.access(target, os.W_OK):
        raise PermissionError(13, os.strerror(13), str(path))
    partial = partial_path(target)
    try:
        yield partial
        if mode is not None:
            shutil.copymode(target, partial)
        partial.replace(target)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def partial_path(path: Path, token: str = "") -> Path:
    """Return the temporary path that `replacing` uses for a path without symbolic links.

    Args:
        path: Final path.
        token: Text that distinguishes the files of several writers of the same path; `replacing` uses none.
    """
    prefix = f"{PARTIAL_PREFIX}{token}." if token else PARTIAL_PREFIX
    return path.with_name(prefix + _tail(hidden_name(path.name), _MAX_NAME_BYTES - len(prefix)))


def hidden_name(name: str) -> str:
    """Return a file name for content that is not a result.

    Programs that read all Parquet files below a folder also read hidden ones, so that suffix is not kept.

    >>> hidden_name("1.parquet"), hidden_name("1.csv")
    ('1.parquet.part', '1.csv')
    """
    return f"{name}.part" if name.lower().endswith(".parquet") else name


def write_file(path: Path, content: str | bytes) -> None:
    """Create or replace a file atomically; see `replacing`.

    Args:
        path: Path of the file.
        content: Bytes, or text, which is encoded as UTF-8.

    Raises:
        OSError: The file cannot be written.
    """
    with replacing(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def _tail(name: str, length: int) -> str:
    """Return the end of a file name, at most `length` bytes, so that the temporary name is not too long."""
    return os.fsdecode(os.fsencode(name)[-length:])
