"""Read access to a published data set as a tree of files: a folder, a zip file, or one table."""

from __future__ import annotations

import contextlib
import errno
import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from edgeinfer.errors import path_text, shown_path
from edgeinfer_train.datasets.load import MAX_IMAGE_BYTES, decode_image, exceeds_limit
from edgeinfer_train.datasets.prepare.report import DecodedFace, Reason, Skipped
from edgeinfer_train.errors import DataError

DAMAGED = (
    OSError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, ValueError,
    struct.error, MemoryError,
)  # fmt: skip
"""Exceptions from reading a damaged, encrypted or unsupported archive member, or an unreadable file."""

MAX_FILES = 2_000_000
MAX_FOLDERS = 100_000
"""Maximum number of folders that are listed; links can multiply a few folders."""
MAX_DEPTH = 64
MAX_NAME_BYTES = 255
MAX_TABLE_BYTES = 1_000_000_000
"""Maximum size of a table, in bytes; fer2013.csv is 0.3 GB."""
MAX_ARCHIVE_BYTES = 50_000_000_000
"""Maximum total size of the files in an archive after decompression, in bytes."""


class FileTree(Protocol):
    """Files addressed by relative path.

    Attributes:
        files: Sizes in bytes by path, with forward slashes.
        skipped: Entries that are not read, with the reasons.
    """

    files: dict[str, int]
    skipped: list[Skipped]

    def open(self, name: str) -> IO[bytes]:
        """Open one file for reading."""


class _Folder:
    """Folder on disk. Links are followed, except to a folder that contains them."""

    def __init__(self, root: Path) -> None:
        self._root, self.files, self.skipped = root, dict[str, int](), list[Skipped]()
        pending = [("", frozenset([_file_id(root.stat())]))]
        listed = 0
        while pending:
            folder, above = pending.pop()
            listed += 1
            for name in self._names(folder):
                path = f"{folder}{name}"
                status = self._status(path)
                if status is None:
                    continue
                if stat.S_ISDIR(status.st_mode):
                    if _file_id(status) in above or len(above) >= MAX_DEPTH:
                        self._skip(path, "link loop")
                    else:
                        pending.append((f"{path}/", above | {_file_id(status)}))
                elif not stat.S_ISREG(status.st_mode):
                    self._skip(path, "not a file")
                elif _has_valid_names(path):
                    self.files[path] = status.st_size
                else:
                    self._skip(path, "name too long")
            if listed > MAX_FOLDERS or len(self.files) + len(self.skipped) > MAX_FILES:
                raise DataError(
                    f"{shown_path(root)} has more than {MAX_FOLDERS:,} folders or {MAX_FILES:,} files: "
                    "choose a smaller folder"
                )

    def open(self, name: str) -> IO[bytes]:
        return (self._root / name).open("rb")

    def _names(self, folder: str) -> list[str]:
        try:
            return sorted(entry.name for entry in (self._root / folder).iterdir())
        except OSError:
            self._skip(folder, "unreadable folder")
            return []

    def _status(self, path: str) -> os.stat_result | None:
        """Return the status of an entry, or skip it."""
        try:
            return (self._root / path).stat()
        except OSError as error:
            broken = (self._root / path).is_symlink()
            is_loop = error.errno == errno.ELOOP
            self._skip(path, "link loop" if is_loop else "broken link" if broken else "unreadable file")
            return None

    def _skip(self, path: str, reason: Reason) -> None:
        if is_visible(path):
            self.skipped.append(Skipped("", path, reason))


class _Table:
    """Single file on disk."""

    def __init__(self, path: Path) -> None:
        self._path, self.files, self.skipped = path, {path.name: path.stat().st_size}, list[Skipped]()

    def open(self, name: str) -> IO[bytes]:
        return self._path.with_name(name).open("rb")


class _Archive:
    """Zip file. Members are never extracted by path, and read at most up to their declared size."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file, self.files, self.skipped = file, dict[str, int](), list[Skipped]()
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in file.infolist():
            path = member.filename.replace("\\", "/")  # some Windows programs write backslashes
            if path.endswith("/") or not is_visible(path):
                continue
            path = "/".join(part for part in path.split("/") if part != ".")
            reason = _reason_to_skip(member, path)
            if reason is None and path in self.files:
                reason = "duplicate name"
            if reason is not None:
                self.skipped.append(Skipped("", path, reason))
                continue
            self._members[path], self.files[path] = member, member.file_size
        total = sum(size for size in self.files.values() if size <= MAX_TABLE_BYTES)
        if total > MAX_ARCHIVE_BYTES:
            raise DataError(
                f"the archive contains {total / 1e9:,.0f} GB, above the limit of {MAX_ARCHIVE_BYTES / 1e9:g} GB: "
                "extract it and pass the folder"
            )

    def open(self, name: str) -> IO[bytes]:
        return self._file.open(self._members[name])


def _reason_to_skip(member: zipfile.ZipInfo, path: str) -> Reason | None:
    parts = path.split("/")
    if ".." in parts or not parts[0] or parts[0].endswith(":"):
        return "path outside the archive"
    if not _has_valid_names(path):
        return "name too long"
    mode = member.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "link in the archive" if stat.S_ISLNK(mode) else "not a file"
    if member.flag_bits & 1:
        return "encrypted"
    # zipfile decompresses other methods without a limit.
    return None if member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) else "unsupported compression"


def _has_valid_names(path: str) -> bool:
    return all(len(path_text(part).encode()) <= MAX_NAME_BYTES for part in path.split("/"))


def _file_id(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def is_visible(path: str) -> bool:
    """Return False for hidden files and folders, and for those that macOS adds to archives."""
    parts = path.split("/")
    return not any((part.startswith(".") and part not in (".", "..")) or part == "__MACOSX" for part in parts)


@contextlib.contextmanager
def open_tree(source: Path) -> Iterator[FileTree]:
    """Open a folder, a zip file, or a single CSV file as a tree of files.

    Raises:
        DataError: The source does not exist, or has a different format.
    """
    if source.is_dir():
        yield _Folder(source)
    elif source.suffix.lower() == ".csv" and source.is_file():
        yield _Table(source)
    elif source.is_file():
        try:
            archive = zipfile.ZipFile(source)
        except UnicodeDecodeError as error:
            raise DataError(
                f"{shown_path(source)} has a file name that is not UTF-8: extract it and pass the folder"
            ) from error
        except DAMAGED as error:
            raise DataError(f"{shown_path(source)} is neither a folder nor a readable zip file") from error
        with archive:
            yield _Archive(archive)
    else:
        raise DataError(f"{shown_path(source)} does not exist: expected a folder or a zip file")


def load_face(tree: FileTree, path: str) -> DecodedFace | Reason:
    """Read and decode one image; return the reason for skipping it if it cannot be used.

    The size of the file and the size in its header are checked before it is read and decoded.
    """
    if tree.files[path] > MAX_IMAGE_BYTES:
        return "too large"
    try:
        with tree.open(path) as file:
            content = file.read(MAX_IMAGE_BYTES + 1)
    except DAMAGED:
        return "unreadable image"
    if exceeds_limit(content):
        return "too large"
    image = decode_image(content)
    return "unreadable image" if image is None else DecodedFace(content, image)


def shallowest(names: Iterable[str], wanted: str) -> str | None:
    """Return the path with the file name `wanted` that is nested least deeply, or None."""
    return min((n for n in names if PurePosixPath(n).name == wanted), key=lambda n: (n.count("/"), n), default=None)
