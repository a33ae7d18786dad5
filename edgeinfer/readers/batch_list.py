"""The list of sources of a batch, `batch.csv`, and the results that belong to each source."""

from __future__ import annotations

import csv
import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from edgeinfer.errors import SourceError, path_text, shown_path

STATE_FOLDER = ".edgeinfer"
"""Hidden folder with the state of a batch."""
TABLE = re.compile(r"batch(\.\d+-of-\d+)?\.csv")
"""Names of the lists in the folder of a batch."""
_TABLE_COLUMNS = {"source", "status", "reason", "frames", "duration_s"}


@dataclass(frozen=True, slots=True)
class BatchEntry:
    """Row of a batch's list.

    Attributes:
        source: Relative path of the source.
        status: "done", "failed" or "no_faces".
        reason: Cause of a failure, or a remark; may be empty.
        frames: Number of frames.
        duration_s: Length of the source in seconds.
    """

    source: str
    status: str
    reason: str
    frames: int
    duration_s: float


class RecordedResult(NamedTuple):
    """Result of a source in the state of a batch.

    Attributes:
        name: Path below the folder of the batch, without the suffix.
        formats: Formats such as "csv"; empty if unknown.
    """

    name: str
    formats: Sequence[str]


def claims(
    entries: Mapping[str, BatchEntry], results: Mapping[str, object], recorded: Mapping[str, RecordedResult]
) -> dict[str, BatchEntry]:
    """Return the source of each result.

    Without a recorded name, the result has the name of the source, with or without its suffix. A successful source
    takes precedence over a failed one, which may have an older result.

    Args:
        entries: Rows of the batch's list by source.
        results: Result files by name.
        recorded: Recorded results by source.
    """
    claimed: dict[str, BatchEntry] = {}
    others = []
    for entry in sorted(entries.values(), key=lambda entry: entry.status == "failed"):
        name = recorded[entry.source].name if entry.source in recorded else entry.source
        if name in results or entry.source in recorded:
            claimed.setdefault(name, entry)
        else:
            others.append(entry)
    for entry in others:
        stem = os.path.splitext(entry.source)[0]  # noqa: PTH122 - any text
        if stem in results:
            claimed.setdefault(stem, entry)
    return claimed


def recorded_results(folder: Path) -> dict[str, RecordedResult]:
    """Return the results that the state of a batch records, by source; empty without a state."""
    found: dict[str, RecordedResult] = {}
    for path in sorted((folder / STATE_FOLDER).glob("manifest*.jsonl")):
        with suppress(OSError), path.open("rb") as file:
            for line in file:
                with suppress(ValueError, RecursionError):
                    entry = json.loads(line)
                    if isinstance(entry, dict) and {type(entry.get("source")), type(entry.get("result"))} == {str}:
                        formats = entry.get("formats")
                        name, formats = path_text(entry["result"]), formats if isinstance(formats, list) else ()
                        found[path_text(entry["source"])] = RecordedResult(name, tuple(map(str, formats)))
    return found


def read_table(path: Path) -> Iterator[BatchEntry]:
    """Yield the rows of a batch's list.

    Raises:
        SourceError: The file cannot be read, or is not the list of a batch.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            rows = csv.DictReader(file)
            if _TABLE_COLUMNS - set(rows.fieldnames or ()):
                raise SourceError(f"{shown_path(path)} is not the list of a batch: it lacks columns of one")
            for row in rows:
                frames, duration_s = _number(row["frames"]), _number(row["duration_s"])
                if row["source"]:
                    texts = row["source"], row["status"] or "", row["reason"] or ""
                    yield BatchEntry(*texts, int(frames), duration_s)
    except SourceError:
        raise
    except OSError as error:
        raise SourceError(f"{shown_path(path)} cannot be read: {error.strerror}") from error
    except csv.Error as error:
        raise SourceError(f"{shown_path(path)} is not the list of a batch: {error}") from error


def _number(text: str | None) -> float:
    """Return a number from 0 to 10^12, or 0 for anything else."""
    try:
        value = float(text or "")
    except ValueError:
        return 0.0
    return value if math.isfinite(value) and 0 <= value <= 1e12 else 0.0
