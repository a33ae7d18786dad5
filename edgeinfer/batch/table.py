"""The table of a batch, with one row per source."""

from __future__ import annotations

import csv
import hashlib
import math
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from edgeinfer.batch.manifest import Entry, Manifests
from edgeinfer.errors import one_line, path_text
from edgeinfer.sources.order import natural_key

Shard: TypeAlias = tuple[int, int]
"""Number of a shard, from 1, and number of shards."""
COLUMNS = ("source", "status", "reason", "frames", "faces", "tracks", "duration_s", "elapsed_s")
_SHARE = 0.02
"""Maximum share of the time that is spent on rewriting the table."""
_MIN_PAUSE_S = 1.0
_MAX_ATTEMPTS = 20


def shard_of(path: str, parts: int) -> int:
    """Return the number of the shard that a source belongs to.

    Args:
        path: Relative path of the source.
        parts: Number of shards, 1 or more.

    Returns:
        A number from 1 to `parts`, the same on every machine.

    Examples:
        >>> [shard_of(f"{number}.mp4", 2) for number in range(8)]
        [2, 2, 1, 2, 1, 2, 1, 1]
    """
    return int.from_bytes(hashlib.sha256(os.fsencode(path)).digest()[:8], "big") % parts + 1


class Tables:
    """batch.csv, and with a shard its own table, written from the manifests."""

    def __init__(self, folder: Path, manifests: Manifests, shard: Shard | None) -> None:
        """Store the arguments.

        Args:
            folder: Folder of the tables.
            manifests: Open manifests.
            shard: Shard of this process, or None.
        """
        self._folder = folder
        self._manifests = manifests
        self._shard = shard
        self._order: list[str] = []
        self._others: set[str] = set()
        self._written = -1
        self._next_s = math.inf

    def plan(self, sources: Sequence[str]) -> None:
        """Set the sources of the batch, in the order of the rows."""
        self._order = list(sources)
        self._others = set()
        self._manifests.reserve(sources)
        self._next_s = time.monotonic() + _MIN_PAUSE_S

    def write(self, *, force: bool) -> None:
        """Rewrite the tables; without `force`, only if enough time has passed. Before `plan`, do nothing.

        Raises:
            OSError: A manifest cannot be read or a table cannot be written.
        """
        started_s = time.monotonic()
        if self._next_s == math.inf or (not force and (started_s < self._next_s or not self._is_outdated())):
            return
        # Another shard may have written its last table between reading the manifests and renaming this one.
        for _ in range(_MAX_ATTEMPTS if force else 2):
            self._manifests.refresh()
            self._written = self._manifests.changes
            self._write(sync=force)
            if not self._is_outdated():
                break
        ended_s = time.monotonic()
        self._next_s = ended_s + max(_MIN_PAUSE_S, (ended_s - started_s) * (1 / _SHARE - 1))

    def _is_outdated(self) -> bool:
        """Return True if an entry was added since the last table, here or by another shard."""
        self._manifests.refresh()
        return self._manifests.changes != self._written

    def _write(self, *, sync: bool) -> None:
        if self._shard is None:
            write_table(self._folder / "batch.csv", self._entries(), sync=sync)
            return
        number, parts = self._shard
        label = f"{number}-of-{parts}"
        write_table(self._folder / "batch.csv", self._entries(), label=f"{label}.", sync=sync)
        own = (entry for entry in self._entries() if shard_of(entry.source, parts) == number)
        write_table(self._folder / f"batch.{label}.csv", own, sync=sync)

    def _entries(self) -> Iterator[Entry]:
        """Yield the entries in natural order of the source, without failures of sources that are no longer planned."""
        for source in self._sources():
            entry = self._manifests.get(source)
            if entry is not None and not (entry.failed and source in self._others):
                yield entry

    def _sources(self) -> Sequence[str]:
        """Return the planned and all other sources with an entry, in natural order."""
        if len(self._order) != self._manifests.number_of_sources:
            known = self._manifests.sources()
            self._others |= known.difference(self._order)
            self._order = sorted(known, key=natural_key)
        return self._order


def write_table(path: Path, entries: Iterable[Entry], *, label: str = "", sync: bool) -> None:
    """Write a table and rename it to its final path.

    Args:
        path: Final path.
        entries: Entries in the order of the rows.
        label: Part of the temporary name that distinguishes processes which write the same table.
        sync: Wait until the table is on the disk.

    Raises:
        OSError: The table cannot be written.
    """
    partial = path.with_name(f".partial.{label}{path.name}")
    with partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(map(_row, entries))
        if sync:
            file.flush()
            os.fsync(file.fileno())
    partial.replace(path)


def _row(entry: Entry) -> tuple[object, ...]:
    outcome = entry.outcome
    counts = (outcome.frames, outcome.faces, outcome.tracks)
    times_s = (round(outcome.duration_s, 3), round(outcome.elapsed_s, 3))
    return (path_text(entry.source), outcome.status, one_line(path_text(outcome.reason)), *counts, *times_s)
