"""Files of a batch: the videos and pictures that its arguments stand for."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from edgeinfer.batch.jobs import Kind
from edgeinfer.batch.kinds import kind_by_suffix, kind_of
from edgeinfer.batch.walking import Status, Walker, folder_identity, status_of
from edgeinfer.errors import SourceError, SourceNotFoundError, UsageError, shown_path
from edgeinfer.plugins import plugin
from edgeinfer.sources.base import CSI
from edgeinfer.sources.order import natural_key
from edgeinfer.url import scheme, without_credentials

PICTURES = "pictures"
"""Last component of the path of a source that consists of the pictures of one folder."""
MISSING = -1
"""Size of a file that does not exist."""


class FoundFile(NamedTuple):
    """One file of a batch.

    Attributes:
        given: Path: the argument, or the argument joined with the path below it.
        identity: Device and inode as one number; the absolute path of a missing file.
        size_bytes: Size, or `MISSING`.
        mtime_ns: Modification time in nanoseconds.
        target: Resolved path of a symbolic link, or None.
    """

    given: str
    identity: int | str
    size_bytes: int
    mtime_ns: int
    target: str | None


@dataclass(slots=True)
class FoundSource:
    """A video, a picture or the pictures of one folder.

    Attributes:
        path: Path relative to the argument.
        kind: Kind of the files.
        name: The file or the folder of the pictures as given.
        label: Last component of the argument, which distinguishes sources of different arguments.
        folder: Resolved path of the folder of the files.
        links: Number of symbolic links to folders in the path below the argument.
        files: Files, in the order in which they were found.
    """

    path: str
    kind: Kind
    name: str
    label: str
    folder: str
    links: int
    files: list[FoundFile]


class _Place(NamedTuple):
    """Argument of a file, and its folder relative to that argument.

    Attributes:
        prefix: Relative path of the folder: "", or ending in "/".
        label: Last component of the argument.
        group_label: Label of the pictures of the folder.
        links: Number of symbolic links to folders in the path below the argument.
    """

    prefix: str
    label: str
    group_label: str
    links: int = 0


class Finder:
    """Collection of the files that the arguments of a batch stand for.

    Attributes:
        sources: Sources in the order in which they were found; a file can be in several.
        skipped: Files that are neither videos nor pictures, as given, by identity.
        walker: Recursion through folders, which counts the unreadable ones.
        unmatched: Globs that match nothing.
    """

    def __init__(self, folder: Path, *, per_picture: bool) -> None:
        """Set the output folder, which is left out, and the division of pictures into sources."""
        self.sources: list[FoundSource] = []
        self.skipped: dict[int | str, str] = {}
        self.unmatched: list[str] = []
        self._per_picture = per_picture
        self._out = folder_identity(str(folder))
        self.walker = Walker(self._out)
        self._groups: dict[tuple[str, str], FoundSource] = {}
        self._resolved: dict[str, str] = {}

    def add(self, argument: str) -> None:
        """Add the files of an argument: a file, folder, glob or list.

        Raises:
            UsageError: The argument is a camera, a stream or the output folder, or a list is not text.
            SourceNotFoundError: A list does not exist.
            SourceError: A list cannot be read.
        """
        if argument in ("-", "@-"):
            self._add_list(sys.stdin.buffer.read(), "stdin")
            return
        if "\0" in argument:
            raise UsageError(
                f"invalid path {shown_path(argument)}: it contains a character that is not allowed in paths"
            )
        path = _expanded(argument)
        status = status_of(path)
        _check_file(argument, exists=status is not None)
        if status is not None or os.path.lexists(path):
            self._add_named(path, status)
        elif argument.startswith("@"):
            self._add_list(_read_list(_expanded(argument[1:])), _last_part(argument[1:]))
        elif glob.has_magic(path):
            self._add_glob(path)
        else:
            self._add_named(path, None)

    def _add_named(self, path: str, status: Status | None) -> None:
        name = _last_part(path)
        if _is_folder(status):
            self._check_folder(path)
            self._add_folder(path, _Place("", name, name))
        else:
            place = _Place("", name, _last_part(os.path.dirname(path)))
            self._add_file(path, name, place, status, is_link=os.path.islink(path))

    def _add_file(self, given: str, name: str, place: _Place, status: Status | None, *, is_link: bool) -> None:
        """Add a file, or a missing one if there is no status."""
        if status is None:
            self._add_source(kind_by_suffix(name) or "video", name, place, _missing(given))
            return
        kind = kind_of(given) if status.is_file else None
        if kind is None:
            self._skip(given, status.identity)
            return
        target = os.path.realpath(given) if is_link else None
        found = FoundFile(given, status.identity, status.size_bytes, status.mtime_ns, target)
        self._add_source(kind, name, place, found)

    def _add_source(self, kind: Kind, name: str, place: _Place, file: FoundFile) -> None:
        """Add a file as a source, or to the pictures of its folder."""
        parent = os.path.dirname(file.given)
        folder = self._resolve(parent)
        if kind == "video" or self._per_picture:
            path = place.prefix + name
            self.sources.append(FoundSource(path, kind, file.given, place.label, folder, place.links, [file]))
            return
        path = place.prefix + PICTURES
        group = self._groups.get((path, folder))
        if group is None:
            group = FoundSource(path, kind, parent or os.curdir, place.group_label, folder, place.links, [])
            self._groups[path, folder] = group
            self.sources.append(group)
        group.files.append(file)

    def _skip(self, given: str, identity: int | str) -> None:
        self.skipped[identity] = min(given, self.skipped.get(identity, given), key=natural_key)

    def _add_folder(self, path: str, place: _Place) -> None:
        """Add the files in a folder and its subfolders."""
        for folder in self.walker.folders(path, place.prefix, links=place.links):
            here = place._replace(prefix=folder.prefix, links=folder.links)
            for entry in folder.files:
                self._add_scanned(entry.path, entry.name, here, status_of(entry), is_link=entry.is_symlink())

    def _add_scanned(self, path: str, name: str, place: _Place, status: Status | None, *, is_link: bool) -> None:
        """Add a file that was found in a folder or by a glob."""
        if status is None and kind_by_suffix(name) is None:  # a link without a target
            self._skip(path, path)
        else:
            self._add_file(path, name, place, status, is_link=is_link)

    def _add_list(self, data: bytes, label: str) -> None:
        """Add the files and folders of a list, relative to their deepest common folder."""
        lines = [(path, status_of(path)) for path in map(_expanded, _lines(data, label))]
        parents = {os.path.abspath(path if _is_folder(status) else os.path.dirname(path)) for path, status in lines}
        common = os.path.commonpath(parents) if parents else ""
        for path, status in lines:
            _check_file(path, exists=status is not None)
            relative = os.path.abspath(path)[len(common) :].lstrip("/")
            if _is_folder(status):
                self._check_folder(path)
                self._add_folder(path, _Place(f"{relative}/" if relative else "", label, label))
            else:
                name = relative.rpartition("/")[2]
                place = _Place(relative.removesuffix(name), label, label)
                self._add_file(path, name, place, status, is_link=os.path.islink(path))

    def _add_glob(self, pattern: str) -> None:
        """Add the files that match a pattern, and those in the folders that match it."""
        parts = pattern.split("/")
        fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
        base = "/".join(parts[:fixed]) or ("/" if pattern.startswith("/") else "")
        self._check_folder(base or os.curdir)
        label, matched = _last_part(base), False
        for path, relative, links in self.walker.matches(base, [part for part in parts[fixed:] if part]):
            matched, status = True, status_of(path)
            if _is_folder(status):
                self._add_folder(path, _Place(f"{relative}/" if relative else "", label, label, links))
            else:
                name = relative.rpartition("/")[2]
                place = _Place(relative.removesuffix(name), label, label, links)
                self._add_scanned(path, name, place, status, is_link=os.path.islink(path))
        if not matched:
            self.unmatched.append(pattern)

    def _check_folder(self, folder: str) -> None:
        if self._out is not None and folder_identity(folder) == self._out:
            raise UsageError(
                f"the folder of the results, `out`, is the source folder {shown_path(folder)}; choose another folder"
            )

    def _resolve(self, folder: str) -> str:
        """Return the resolved path of a folder, which is computed once."""
        resolved = self._resolved.get(folder)
        if resolved is None:
            resolved = self._resolved[folder] = os.path.realpath(folder)
        return resolved


def _check_file(argument: str, *, exists: bool) -> None:
    """Raise `UsageError` for a camera or the address of a stream."""
    is_camera = argument.startswith(("/dev/video", "/dev/v4l/")) or (
        not exists and (argument.startswith(CSI) or argument.isdecimal())
    )
    prefix = None if exists else scheme(argument)
    is_address = prefix is not None and (
        argument[len(prefix) :].startswith("://") or plugin("sources", prefix) is not None
    )
    if is_camera or is_address:
        raise UsageError(
            f"{shown_path(without_credentials(argument))} is not a file: a batch processes files and folders; "
            "process a camera or a stream with edgeinfer run"
        )


def _read_list(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise SourceNotFoundError(f"no list at {shown_path(path)}: expected a file with one path per line") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"the list {shown_path(path)} cannot be read: {reason}") from error


def _lines(data: bytes, label: str) -> Iterator[str]:
    """Yield the paths of a list; a byte order mark, carriage returns and blank lines are ignored."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data:
        raise UsageError(f"the list {shown_path(label)} is not text with one path per line; save it as UTF-8")
    for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        if line.strip():
            yield os.fsdecode(line.removesuffix(b"\r"))


def _missing(given: str) -> FoundFile:
    return FoundFile(given, os.path.abspath(given), MISSING, 0, None)


def _expanded(path: str) -> str:
    """Return a path with `~` expanded, unless a file has that name."""
    return os.path.expanduser(path) if path.startswith("~") and not os.path.lexists(path) else path


def _last_part(path: str) -> str:
    return os.path.basename(os.path.abspath(path))


def _is_folder(status: Status | None) -> bool:
    return status is not None and status.is_folder
