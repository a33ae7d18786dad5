"""Committed parts of sources that are in progress: chunks of 500 pictures."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from edgeinfer.batch.jobs import CHUNK_PICTURES, BatchSource
from edgeinfer.batch.manifest import Entry, ManifestFile

_RECORDS = "chunks.jsonl"


class ChunkStore:
    """Folder with the results of chunks, in one subfolder per source, with a manifest each."""

    def __init__(self, folder: Path) -> None:
        """Store the path; the folder is created with the first chunk."""
        self._folder = folder

    def path(self, source: BatchSource, name: str) -> Path:
        """Return the path of a file in the subfolder of a source."""
        return self._folder / _subfolder(source.path) / name

    def entries(self, source: BatchSource) -> dict[int, Entry]:
        """Return the latest entry of each chunk, by index.

        Raises:
            OSError: The entries cannot be read.
        """
        path = self.path(source, _RECORDS)
        if not path.is_file():
            return {}
        with _opened(path, write=False) as records:
            return {int(entry.source): entry for _, entry in records.read_new() if entry.source.isdecimal()}

    def append(self, source: BatchSource, entry: Entry, *, sync: bool = True) -> None:
        """Record a chunk, and wait until the record is on the disk.

        Args:
            source: Pictures of a folder.
            entry: Entry of the chunk.
            sync: False not to wait.

        Raises:
            OSError: The entry cannot be written.
        """
        path = self.path(source, _RECORDS)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _opened(path, write=True) as records:
            for _ in records.read_new():
                pass
            records.append([entry], sync=sync)

    def remove(self, sources: Iterable[BatchSource], *, others_than: Iterable[BatchSource] | None = None) -> None:
        """Delete the chunks of some sources, as far as possible.

        Args:
            sources: Sources whose chunks to delete.
            others_than: Sources whose chunks to keep, while all others are deleted too; None to delete no others.
        """
        with suppress(FileNotFoundError):
            present = set(os.listdir(self._folder))  # noqa: PTH208 - only the names
            removed = present & {_subfolder(source.path) for source in sources}
            if others_than is not None:
                removed |= present - {_subfolder(source.path) for source in others_than}
            for name in removed:
                shutil.rmtree(self._folder / name, ignore_errors=True)


def chunk_range(index: int) -> slice:
    """Return the range of a chunk in the files of its source."""
    return slice(index * CHUNK_PICTURES, (index + 1) * CHUNK_PICTURES)


def chunk_fingerprints(source: BatchSource, hash_files: Callable[[Sequence[str]], str]) -> list[str]:
    """Return the hash of each chunk's files."""
    chunks = range(-(-len(source.files) // CHUNK_PICTURES))
    return [hash_files(source.files[chunk_range(index)]) for index in chunks]


def _subfolder(path: str) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:32]


@contextmanager
def _opened(path: Path, *, write: bool) -> Iterator[ManifestFile]:
    file = ManifestFile(path)
    file.open(write=write)
    try:
        yield file
    finally:
        file.close()
