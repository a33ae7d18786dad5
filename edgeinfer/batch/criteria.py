"""Criteria for results of an earlier call that need not be made again."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeinfer.batch.jobs import Outcome
from edgeinfer.batch.manifest import Entry
from edgeinfer.options.groups import ResultFormat


@dataclass(frozen=True, slots=True)
class Criteria:
    """Requested results of all sources.

    Attributes:
        settings: Hash of the settings.
        formats: Formats of the results.
    """

    settings: str
    formats: tuple[ResultFormat, ...]

    def is_current(self, entry: Entry, fingerprint: str) -> bool:
        """Return True if an entry describes results of the present settings and files."""
        return entry.settings == self.settings and entry.fingerprint == fingerprint and not entry.failed

    def is_complete(self, entry: Entry, results: Iterable[str], copies: Sequence[Path]) -> bool:
        """Return True if an entry has all requested formats and annotated copies, and their files exist.

        Args:
            entry: Entry of a source or a chunk.
            results: Path of the result in each requested format.
            copies: Paths of the requested annotated copies; unreadable pictures have none.
        """
        if not set(self.formats) <= set(entry.formats) or not all(map(os.path.isfile, results)):
            return False
        return not copies or (entry.copies is not None and _count(copies) >= entry.copies)

    def entry(self, source: str, result: str, fingerprint: str, outcome: Outcome, copies: Sequence[Path]) -> Entry:
        """Return the entry of a source or a chunk that has just been processed."""
        formats = () if outcome.status == "failed" else self.formats
        number = _count(copies) if copies else None
        return Entry(source, result, self.settings, fingerprint, "", formats, number, outcome, time.time())


def _count(paths: Iterable[Path]) -> int:
    """Return the number of paths that exist."""
    return sum(map(os.path.exists, paths))
