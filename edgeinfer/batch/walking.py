"""Folders of a batch: recursion without loops, and globs."""

from __future__ import annotations

import fnmatch
import glob
import heapq
import os
import re
import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from edgeinfer.sources.order import natural_key


class Status(NamedTuple):
    """Status of a file or of the target of a link, smaller than `os.stat_result`.

    Attributes:
        is_folder: True for a folder.
        is_file: True for a regular file.
        identity: Device and inode as one number.
        size_bytes: Size.
        mtime_ns: Modification time in nanoseconds.
    """

    is_folder: bool
    is_file: bool
    identity: int
    size_bytes: int
    mtime_ns: int


class Folder(NamedTuple):
    """Folder with its files.

    Attributes:
        path: Path, beginning with that of the first folder.
        prefix: Same, relative to the first folder: "", or ending in "/".
        links: Number of symbolic links in the path below the first folder.
        files: Entries that are neither hidden nor folders.
    """

    path: str
    prefix: str
    links: int
    files: list[os.DirEntry[str]]


class Match(NamedTuple):
    """File or folder that matches a glob.

    Attributes:
        path: Path, beginning with the fixed part of the glob.
        relative: Same, relative to the fixed part.
        links: Number of symbolic links to folders in the part of the path that wildcards stand for.
    """

    path: str
    relative: str
    links: int


class Walker:
    """Recursion through folders that leaves out hidden ones and the output folder, and visits no folder twice.

    Attributes:
        unreadable: Folders that cannot be read, as given; the values are unused.
    """

    def __init__(self, left_out: int | None) -> None:
        """Set the identity of the folder that is left out, or None."""
        self.unreadable: dict[str, None] = {}
        self._left_out = left_out

    def folders(self, folder: str, prefix: str = "", *, links: int = 0) -> Iterator[Folder]:
        """Yield a folder and its subfolders in natural order, those behind fewer symbolic links first.

        Args:
            folder: Path of the first folder.
            prefix: Path that stands for it: "", or ending in "/".
            links: Number of symbolic links that lead to the first folder.
        """
        waiting, seen = [(links, "", folder, prefix)], {self._left_out}
        while waiting:
            links, _, path, here = heapq.heappop(waiting)
            identity = folder_identity(path)
            if identity is None or identity in seen:
                continue
            seen.add(identity)
            files = []
            for entry in self._entries(path):
                if _is_folder(entry):
                    below = f"{here}{entry.name}/"
                    heapq.heappush(waiting, (links + entry.is_symlink(), natural_key(below), entry.path, below))
                else:
                    files.append(entry)
            yield Folder(path, here, links, files)

    def matches(self, folder: str, parts: Sequence[str], prefix: str = "", *, links: int = 0) -> Iterator[Match]:
        """Yield the files and folders that match the parts of a glob; "**" matches any number of folders.

        Args:
            folder: Folder in which the first part is searched; "" for the current one.
            parts: Components of the pattern, one or more.
            prefix: Path of the folder relative to the first one: "", or ending in "/".
            links: Number of symbolic links that lead to the folder.
        """
        part, rest = parts[0], parts[1:]
        if part == "**":
            if not rest:
                yield Match(folder or os.curdir, prefix.rstrip("/"), links)
            elif rest[0] == "**":
                yield from self.matches(folder, rest, prefix, links=links)
            else:
                for path, here, count, _ in self.folders(folder or os.curdir, prefix, links=links):
                    yield from self.matches(path, rest, here, links=count)
            return
        for name in self._matching_names(folder, part):
            path = os.path.join(folder, name)
            is_folder = folder_identity(path) not in (None, self._left_out)
            count = links + (is_folder and os.path.islink(path))
            if not rest:
                yield Match(path, prefix + name, count)
            elif is_folder:
                yield from self.matches(path, rest, f"{prefix}{name}/", links=count)

    def _entries(self, folder: str) -> Iterator[os.DirEntry[str]]:
        """Yield the entries of a folder that are not hidden."""
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if not entry.name.startswith("."):
                        yield entry
        except OSError:
            self.unreadable[folder] = None

    def _matching_names(self, folder: str, part: str) -> list[str]:
        """Return the names in a folder that match one part; hidden ones only if the part begins with a dot."""
        if not glob.has_magic(part):
            return [part] if os.path.lexists(os.path.join(folder, part)) else []
        try:
            names = os.listdir(folder or os.curdir)
        except FileNotFoundError:
            return []
        except OSError:
            self.unreadable[folder] = None
            return []
        matches = re.compile(fnmatch.translate(part)).match
        return [name for name in names if matches(name) and (part.startswith(".") or not name.startswith("."))]


def folder_identity(path: str) -> int | None:
    """Return the identity of a folder, or None if the path is none."""
    status = status_of(path)
    return status.identity if status is not None and status.is_folder else None


def status_of(path: str | os.DirEntry[str]) -> Status | None:
    """Return the status of a file, or None if it does not exist or cannot be reached."""
    try:
        found = path.stat() if isinstance(path, os.DirEntry) else os.stat(path)
    except (OSError, ValueError):
        return None
    return Status(
        stat.S_ISDIR(found.st_mode),
        stat.S_ISREG(found.st_mode),
        found.st_dev << 64 | found.st_ino,
        found.st_size,
        found.st_mtime_ns,
    )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
