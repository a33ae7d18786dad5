"""A published data set as a tree of files: a folder, a zip file, or one table."""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from edgeinfer_train.errors import DataError

# What a damaged, encrypted or oddly packed member of an archive raises while it is read.
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


class FileTree(Protocol):
    """Files read by relative path."""

    def files(self) -> dict[str, int]:
        """Paths of all files, with forward slashes, and their sizes in bytes."""

    def open(self, name: str) -> IO[bytes]:
        """Open one file to read it from its start."""


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
    """Open a folder, a zip file, or a CSV file as a tree of one.

    Raises:
        DataError: it is none of these, or not there.
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
        raise DataError(f"{source} does not exist; expected a folder or a zip file")


def read(tree: FileTree, name: str) -> bytes:
    """The bytes of one file; none when it cannot be read, as one damaged picture is not the end."""
    try:
        with tree.open(name) as file:
            return file.read()
    except (OSError, *DAMAGED):
        return b""


def shallowest(names: Iterable[str], wanted: str) -> str | None:
    """The path of the file of some name that lies least deep."""
    return min((n for n in names if PurePosixPath(n).name == wanted), key=lambda n: (n.count("/"), n), default=None)
