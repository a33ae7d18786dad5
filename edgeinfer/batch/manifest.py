"""Manifests of a batch: files with one line per finished source, of which the latest one counts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, get_args

from edgeinfer.batch.jobs import Outcome, Status
from edgeinfer.system.portable import BINARY, read_at, sync_folder, write_at

_LINE_BYTES = 1024
"""Size of a read that contains most lines."""
_MAX_OPEN = 200
_OFFSET_BITS = 48
_STATUSES = get_args(Status)
_encode = json.JSONEncoder(separators=(",", ":")).encode
_decode = json.JSONDecoder().raw_decode  # a third of the time that json.loads takes


@dataclass(frozen=True, slots=True)
class Entry:
    """Record of a finished source, or of a finished chunk of its pictures.

    Attributes:
        source: Relative path of the source, or the index of the chunk.
        result: Path of the results below the batch's folder, without the suffix of the format.
        settings: Hash of the settings, or empty if the results are outdated.
        fingerprint: Hash of the identities, sizes and modification times of the files.
        content: Hash of the contents of the files, or empty if it was not computed.
        formats: Formats of the results.
        copies: Number of annotated copies, or None if none were requested.
        outcome: Result of the processing.
        finished_s: Seconds since 1970; later than the entries that it replaces.
    """

    source: str
    result: str
    settings: str
    fingerprint: str
    content: str
    formats: tuple[str, ...]
    copies: int | None
    outcome: Outcome
    finished_s: float

    @property
    def failed(self) -> bool:
        """True if the processing failed."""
        return self.outcome.status == "failed"

    def to_line(self) -> bytes:
        """Return the entry as one line of JSON in ASCII."""
        fields = {name: getattr(self, name) for name in self.__slots__ if name != "outcome"}
        outcome = {name: getattr(self.outcome, name) for name in self.outcome.__slots__}
        return f"{_encode(fields | outcome)}\n".encode()

    @classmethod
    def from_line(cls, line: bytes) -> Self | None:
        """Return the entry of a line, or None if the line is damaged."""
        try:
            text = line.decode("ascii")
            fields, end = _decode(text)
            outcome = Outcome(*map(fields.__getitem__, Outcome.__slots__))
            fields |= {"outcome": outcome, "formats": tuple(fields["formats"])}
            entry = cls(*map(fields.__getitem__, cls.__slots__))
            counts = outcome.frames + outcome.faces + outcome.tracks
            valid = entry.finished_s + outcome.elapsed_s + outcome.duration_s + counts >= 0
            complete = valid and outcome.status in _STATUSES and text[end:] == "\n"
            return entry if complete and entry.source + entry.result else None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None

    def outdated(self) -> Self:
        """Return the entry of results that must be made again, for example because they are about to be replaced."""
        return replace(self, settings="")


class ManifestFile:
    """One manifest. Lines that are damaged or incomplete are ignored."""

    def __init__(self, path: Path) -> None:
        """Store the path; the file is opened when it is read."""
        self._path = path
        self._descriptor = -1
        self._read_bytes = 0

    def open(self, *, write: bool) -> None:
        """Open the file if it is closed; for writing, create it and remove an incomplete last line.

        Raises:
            OSError: The file cannot be opened.
        """
        if self._descriptor >= 0:
            return
        flags = os.O_RDWR | os.O_CREAT if write else os.O_RDONLY
        self._descriptor = os.open(self._path, flags | BINARY, 0o666)
        if write:
            os.ftruncate(self._descriptor, self._end_of_lines())

    def close(self) -> None:
        """Close the file, if it is open."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def read_new(self) -> Iterator[tuple[int, Entry]]:
        """Yield the position and the entry of each complete line since the last call or `append`."""
        if os.fstat(self._descriptor).st_size <= self._read_bytes:
            return
        with open(self._descriptor, "rb", buffering=1 << 18, closefd=False) as file:
            file.seek(self._read_bytes)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                start = self._read_bytes
                self._read_bytes += len(line)
                if (entry := Entry.from_line(line)) is not None:
                    yield start, entry

    def read(self, position: int) -> Entry | None:
        """Return the entry at a position, or None if the file has changed."""
        line, size = b"", _LINE_BYTES
        while not (end := line.find(b"\n") + 1):
            line = read_at(self._descriptor, size, position)
            if len(line) < size and b"\n" not in line:
                return None
            size *= 4
        return Entry.from_line(line[:end])

    def append(self, entries: Iterable[Entry], *, sync: bool) -> list[int]:
        """Write entries behind those that were read, and return their positions.

        Args:
            entries: Entries in the order of their lines.
            sync: Wait until they are on the disk.

        Raises:
            OSError: They cannot be written; a part of them may be in the file.
        """
        positions, data = [], bytearray()
        for entry in entries:
            positions.append(self._read_bytes + len(data))
            data += entry.to_line()
        rest, end = memoryview(data), self._read_bytes
        while rest:
            written = write_at(self._descriptor, rest, end)
            rest, end = rest[written:], end + written
        if sync:
            os.fsync(self._descriptor)
        self._read_bytes = end
        return positions

    def _end_of_lines(self) -> int:
        """Return the length of the file up to the last line break."""
        end = os.fstat(self._descriptor).st_size
        while end > 0:
            start = max(0, end - _LINE_BYTES)
            found = read_at(self._descriptor, end - start, start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
        return 0


class Manifests(Mapping[str, Entry]):
    """All manifests in a folder as a mapping from the source to its latest entry.

    Only the position of each entry is in memory. Each shard has its own manifest, and appends to no other one.

    Attributes:
        changes: Number of entries that were read or appended.
    """

    def __init__(self, folder: Path, name: str) -> None:
        """Store the paths.

        Args:
            folder: Folder of all manifests.
            name: File name of the manifest that this process appends to.
        """
        self._folder = folder
        self._files = [ManifestFile(folder / name)]
        self._numbers = {name: 0}
        self._open: dict[int, None] = {}
        self._positions: dict[str, int | None] = {}
        self._latest_s = 0.0
        self.changes = 0

    def open(self) -> None:
        """Create the manifest of this process if it is missing, and read all manifests.

        Raises:
            OSError: A file cannot be read or created.
        """
        self._files[0].open(write=True)
        with suppress(OSError):  # some file systems cannot sync a folder
            sync_folder(self._folder)
        self.refresh()

    def close(self) -> None:
        """Close all files."""
        for file in self._files:
            file.close()
        self._open.clear()

    def reserve(self, sources: Iterable[str]) -> None:
        """Allocate the memory for entries of sources, so that appending them needs hardly any."""
        for source in sources:
            self._positions.setdefault(source, None)

    @property
    def number_of_sources(self) -> int:
        """Number of sources that have an entry or are reserved."""
        return len(self._positions)

    def sources(self) -> set[str]:
        """Return the sources that have an entry or are reserved."""
        return set(self._positions)

    def refresh(self) -> None:
        """Read what other processes have appended.

        Raises:
            OSError: A file cannot be read.
        """
        for name in sorted(os.listdir(self._folder)):  # noqa: PTH208 - only the names
            if name.startswith("manifest.") and name.endswith(".jsonl") and name not in self._numbers:
                self._numbers[name] = len(self._files)
                self._files.append(ManifestFile(self._folder / name))
        for number in range(len(self._files)):
            for position, entry in self._file(number).read_new():
                self._add(number, position, entry)

    def append(self, entries: Iterable[Entry], *, sync: bool = True) -> None:
        """Write entries to the manifest of this process.

        Args:
            entries: Entries in the order of their lines; `finished_s` is set to the present time.
            sync: Wait until they are on the disk.

        Raises:
            OSError: They cannot be written.
        """
        dated = [replace(entry, finished_s=self._next_time_s(entry.finished_s)) for entry in entries]
        for entry, position in zip(dated, self._files[0].append(dated, sync=sync), strict=True):
            self._positions[entry.source] = position
        self.changes += len(dated)

    def __getitem__(self, source: str) -> Entry:
        """Return the latest entry of a source.

        Raises:
            KeyError: The source has none.
            OSError: The file cannot be read.
        """
        packed = self._positions[source]
        entry = None if packed is None else self._file(packed >> _OFFSET_BITS).read(packed & (1 << _OFFSET_BITS) - 1)
        if entry is None:
            raise KeyError(source)
        return entry

    def __iter__(self) -> Iterator[str]:
        """Return an iterator over the sources that have an entry."""
        return (source for source, packed in self._positions.items() if packed is not None)

    def __len__(self) -> int:
        """Return the number of sources that have an entry."""
        return sum(packed is not None for packed in self._positions.values())

    def _add(self, number: int, position: int, entry: Entry) -> None:
        """Store a line that was read: the last one of a file, and the newest one among files."""
        self.changes += 1
        self._latest_s = max(self._latest_s, entry.finished_s)
        packed = self._positions.get(entry.source)
        if packed is not None and packed >> _OFFSET_BITS != number:
            present = self.get(entry.source)
            if present is not None and present.finished_s > entry.finished_s:
                return
        self._positions[entry.source] = number << _OFFSET_BITS | position

    def _next_time_s(self, time_s: float) -> float:
        """Return a time later than that of all entries so far, even if the clock of another machine is ahead."""
        self._latest_s = max(round(time_s, 3), round(self._latest_s + 0.001, 3))
        return self._latest_s

    def _file(self, number: int) -> ManifestFile:
        """Return an open manifest; the one that was opened first is closed if too many are open."""
        file = self._files[number]
        if number > 0 and number not in self._open:
            if len(self._open) == _MAX_OPEN:
                oldest = next(iter(self._open))
                self._files[oldest].close()
                del self._open[oldest]
            file.open(write=False)
            self._open[number] = None
        return file
