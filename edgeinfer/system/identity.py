"""Comparison of files by identity, so that an output never overwrites an input or another output."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from edgeinfer.errors import UsageError, shown_path
from edgeinfer.system.portable import is_null_device

STDIN_OR_STDOUT = "-"

_Key = tuple[object, ...]


class NamedPath(NamedTuple):
    """A file that a command reads or writes.

    Attributes:
        role: Description for messages, such as "the source", or the name of a parameter in backticks.
        path: Path; "-" is stdin for an input and stdout for an output.
    """

    role: str
    path: str

    def __str__(self) -> str:
        """Return the role and the path on one line."""
        return f"{self.role} {shown_path(self.path)}"


def check_distinct(outputs: Iterable[NamedPath], inputs: Iterable[NamedPath]) -> None:
    """Check that no output is an input or another output, before anything is opened for writing.

    Existing files are compared by device and inode, so that links, mounts and different spellings of one path are
    recognized; new files by the identity of their folder and their name.

    Args:
        outputs: Files to be written.
        inputs: Files to be read; those that do not exist are ignored. Generators are consumed only as far as needed.

    Raises:
        UsageError: Two of the files are the same.
    """
    taken: dict[_Key, NamedPath] = {}
    for output in outputs:
        key = _key(output.path, 1)
        if key is None:
            continue
        if key in taken:
            raise UsageError(
                f"two outputs have the same name or are the same file: {taken[key]} and {output}; choose another name"
            )
        taken[key] = output
    if not any(key[0] == "file" for key in taken):
        return
    for source in inputs:
        key = _key(source.path, 0)
        if key is not None and key[0] == "file" and key in taken:
            raise UsageError(f"{taken[key]} is the same file as {source}: it would be overwritten; choose another name")


def files_below(role: str, folder: Path) -> Iterator[NamedPath]:
    """Yield every file in a folder and its subfolders; links to folders are followed once."""
    seen: set[tuple[int, int]] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        status = os.stat(parent)  # noqa: PTH116 - os.walk yields strings
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        for name in names:
            yield NamedPath(role, os.path.join(parent, name))  # noqa: PTH118 - see above


def is_same_or_below(path: Path, folder: Path) -> bool:
    """Return True if a path is a folder or would be in it, even through links and other spellings.

    Args:
        path: Path that may not exist yet.
        folder: Existing folder.
    """
    wanted = _key(str(folder), 0)
    try:
        resolved = Path(os.path.realpath(path))
    except ValueError:  # a character that is not allowed in paths
        return False
    return any(_key(str(candidate), 0) == wanted for candidate in (resolved, *resolved.parents))


def _key(path: str, stream: int) -> _Key | None:
    """Return a value that is equal for two names of one file, or None if the file cannot be overwritten."""
    try:
        status = os.fstat(stream) if path == STDIN_OR_STDOUT else os.stat(path)  # noqa: PTH116 - also non-UTF-8 names
    except (OSError, ValueError):
        return None if path == STDIN_OR_STDOUT else _new_key(path)
    if is_null_device(status):
        return None
    # A terminal or a socket can be both input and output.
    stream_like = stat.S_ISCHR(status.st_mode) or stat.S_ISSOCK(status.st_mode)
    return ("stream" if stream_like else "file", status.st_dev, status.st_ino)


def _new_key(path: str) -> _Key:
    """Return the key of a file that does not exist: the target of a dangling link, or the folder and the name."""
    try:
        folder, name = os.path.split(os.path.realpath(path))
        status = os.stat(folder)  # noqa: PTH116
    except (OSError, ValueError):
        return ("new", path)
    return ("new", status.st_dev, status.st_ino, name)
