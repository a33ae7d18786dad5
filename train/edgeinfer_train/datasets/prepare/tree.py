"""Read access to a published data set as a tree of files: a folder, a zip file, or one table."""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from edgeinfer_train.errors import DataError

# Exceptions from reading a damaged, encrypted or unsupported archive member.
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


class FileTree(Protocol):
    """Files addressed by relative path."""

    def files(self) -> dict[str, int]:
        """Return the sizes in bytes of all files, by path with forward slashes."""

    def open(self, name: str) -> IO[bytes]:
        """Open one file for reading."""


class _Folder:
    def __init__(self, root: Path, found: Sequence[Path]) -> None:
        self._root, self._found = root, found

    def files(self) -> dict[str, int]:
        return {p.relative_to(self._root).as_posix(): p.stat().st_size for p in self._found if p.is_file()}

    def open(self, name: str) -> IO[bytes]:
        return (self._root / name).open("rb")


class _Archive:
    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file

    def files(self) -> dict[str, int]:
        return {i.filename: i.file_size for i in self._file.infolist() if not i.is_dir()}

    def open(self, name: str) -> IO[bytes]:
        return self._file.open(name)


@contextlib.contextmanager
def open_tree(source: Path) -> Iterator[FileTree]:
    """Open a folder, a zip file, or a single CSV file as a tree of files.

    Raises:
        DataError: The source does not exist, or has a different format.
    """
    if source.is_dir():
        yield _Folder(source, list(source.rglob("*")))
    elif source.suffix.lower() == ".csv" and source.is_file():
        yield _Folder(source.parent, [source])
    elif source.is_file():
        try:
            archive = zipfile.ZipFile(source)
        except (zipfile.BadZipFile, OSError) as error:
            raise DataError(f"{source} is neither a folder nor a readable zip file") from error
        with archive:
            yield _Archive(archive)
    else:
        raise DataError(f"{source} does not exist: expected a folder or a zip file")


def read(tree: FileTree, name: str) -> bytes:
    """Return the bytes of one file, or b"" if it cannot be read, so that a damaged image can be skipped."""
    try:
        with tree.open(name) as file:
            return file.read()
    except (OSError, *DAMAGED):
        return b""


def shallowest(names: Iterable[str], wanted: str) -> str | None:
    """Return the path with the file name `wanted` that is nested least deeply, or None."""
    return min((n for n in names if PurePosixPath(n).name == wanted), key=lambda n: (n.count("/"), n), default=None)
