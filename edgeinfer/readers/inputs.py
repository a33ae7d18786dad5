"""Result files of the command line: files, folders, and the folder of a batch with its list of sources."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from edgeinfer.errors import SourceError, SourceNotFoundError, path_text, shown_path
from edgeinfer.readers.base import EXPECTED, SUFFIXES
from edgeinfer.sources.order import natural_key
from edgeinfer.system.paths import local_path

STATE_FOLDER = ".edgeinfer"
"""Hidden folder with the state of a batch."""
SUMMARY_COLUMNS = (
    "source", "track", "first_s", "last_s", "duration_s", "dominant", "mean_confidence", "unknown_share",
)  # fmt: skip
"""Columns of the summary of a report."""
_TABLE = re.compile(r"batch(\.\d+-of-\d+)?\.csv")
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


@dataclass(frozen=True, slots=True)
class ResultFile:
    """One result file.

    Attributes:
        path: Path of the file.
        shown: Path as text, for display.
        name: Name of the source in its batch, or None to take it from the result.
        entry: Row of the batch's list, or None.
        named: True if the file is an argument; False if it was found in a folder.
        folder: Folder of the batch, or of the file.
    """

    path: Path
    shown: str
    name: str | None
    entry: BatchEntry | None
    named: bool
    folder: Path


@dataclass(frozen=True, slots=True)
class FailedSource:
    """A source of a batch without a result.

    Attributes:
        name: Relative path of the source.
        reason: Cause.
    """

    name: str
    reason: str


@dataclass(slots=True)
class Inputs:
    """Result files, failed sources and lists of batches.

    Attributes:
        files: Result files, each once.
        failed: Failed sources.
        tables: Lists of batches that were read.
    """

    files: list[ResultFile] = field(default_factory=list)
    failed: list[FailedSource] = field(default_factory=list)
    tables: list[Path] = field(default_factory=list)


def find_inputs(arguments: Sequence[str]) -> Inputs:
    """Find the results that the arguments name; no result is opened.

    Args:
        arguments: Result files, and folders, which are searched recursively without hidden files and folders.

    Raises:
        SourceNotFoundError: An argument does not exist, or a folder contains no result.
        SourceError: A folder or the list of a batch cannot be read, or an argument is not a file or folder.
    """
    inputs, seen = Inputs(), set[tuple[int, int]]()
    for argument in arguments:
        path = local_path(argument, SourceError)
        if argument and path.is_dir():
            _add_folder(inputs, path)
        elif path.is_file():
            if _TABLE.fullmatch(path.name):
                raise SourceError(f"{shown_path(path)} is the list of a batch, not a result; give its folder instead")
            inputs.files.append(ResultFile(path, path_text(path), None, None, True, path.parent))
        elif argument and os.path.lexists(path):
            raise SourceError(f"{shown_path(path)} is neither a file nor a folder")
        else:
            raise SourceNotFoundError(f"no result at {shown_path(argument)}: {EXPECTED}")
    inputs.files = [file for file in _preferred(inputs.files) if _is_new(file.path, seen)]
    return inputs


def _add_folder(inputs: Inputs, folder: Path) -> None:
    """Add the results in a folder; with the list of a batch, also the names of the sources and the failed ones."""
    found = sorted(_walk(folder), key=lambda path: natural_key(path_text(path)))
    tables = [path for path in found if path.parent == folder and _TABLE.fullmatch(path.name)]
    entries = {entry.source: entry for table in reversed(tables) for entry in _read_table(table)}
    results: dict[str, list[Path]] = {}
    for path in found:
        if not _TABLE.fullmatch(path.name):
            results.setdefault(_stem(path, folder), []).append(path)
    if not results and not entries:
        raise SourceNotFoundError(f"no result in {shown_path(folder)}: expected .jsonl, .csv or .parquet files")
    claimed = _claims(entries, results, _recorded_names(folder) if entries else {})
    for stem, paths in results.items():
        entry = claimed.get(stem)
        if entry is None:
            found = [path for path in paths if not _is_summary(path)]
            inputs.files += [ResultFile(path, path_text(path), None, None, False, folder) for path in found]
        elif entry.status != "failed":
            inputs.files += [ResultFile(path, path_text(path), entry.source, entry, False, folder) for path in paths]
    with_result = {entry.source for name, entry in claimed.items() if name in results}
    for entry in sorted(entries.values(), key=lambda entry: natural_key(entry.source)):
        if entry.status == "failed":
            inputs.failed.append(FailedSource(entry.source, entry.reason or "no reason was recorded"))
        elif entry.source not in with_result:
            inputs.failed.append(FailedSource(entry.source, "its result is missing"))
    inputs.tables += tables


def _is_summary(path: Path) -> bool:
    """Return True for the summary of an earlier report."""
    first = ",".join(SUMMARY_COLUMNS).encode() + b"\n"
    try:
        with path.open("rb") as file:
            return file.read(len(first)) == first
    except OSError:
        return False  # reported when the file is read


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files with a suffix of a result below a folder, without hidden ones."""

    def fail(error: OSError) -> None:
        raise SourceError(f"{shown_path(str(error.filename))} cannot be read: {error.strerror}") from error

    for parent, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield Path(parent, name)


def _stem(path: Path, folder: Path) -> str:
    """Return the path of a result below its folder, without the suffix."""
    return path_text(path.relative_to(folder).with_suffix(""))


def _claims(
    entries: dict[str, BatchEntry], results: dict[str, list[Path]], names: dict[str, str]
) -> dict[str, BatchEntry]:
    """Return the source of each result.

    Without a recorded name, the result has the name of the source, with or without its suffix. A successful source
    takes precedence over a failed one, which may have an older result.

    Args:
        entries: Rows of the batch's list by source.
        results: Result files by name.
        names: Recorded names of results by source.
    """
    claimed: dict[str, BatchEntry] = {}
    others = []
    for entry in sorted(entries.values(), key=lambda entry: entry.status == "failed"):
        name = names.get(entry.source, entry.source)
        if name in results or entry.source in names:
            claimed.setdefault(name, entry)
        else:
            others.append(entry)
    for entry in others:
        stem = os.path.splitext(entry.source)[0]  # noqa: PTH122 - any text
        if stem in results:
            claimed.setdefault(stem, entry)
    return claimed


def _recorded_names(folder: Path) -> dict[str, str]:
    """Return the names of results that the state of a batch records, by source; empty without a state."""
    names: dict[str, str] = {}
    for path in sorted((folder / STATE_FOLDER).glob("manifest*.jsonl")):
        with suppress(OSError), path.open("rb") as file:
            for line in file:
                with suppress(ValueError, RecursionError):
                    entry = json.loads(line)
                    if isinstance(entry, dict) and {type(entry.get("source")), type(entry.get("result"))} == {str}:
                        names[path_text(entry["source"])] = path_text(entry["result"])
    return names


def _read_table(path: Path) -> Iterator[BatchEntry]:
    """Yield the rows of a batch's list."""
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


def _preferred(files: Sequence[ResultFile]) -> list[ResultFile]:
    """Return one file per source: of files that differ only in their suffix, the one whose format comes first."""
    best: dict[Path, ResultFile] = {}
    for file in files:
        stem = file.path.with_suffix("")
        if stem not in best or _rank(file) < _rank(best[stem]):
            best[stem] = file
    return list(best.values())


def _rank(file: ResultFile) -> int:
    """Return the preference of a format: Parquet is the last one if it cannot be read."""
    suffix = file.path.suffix.lower()
    if suffix not in SUFFIXES or (suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None):
        return len(SUFFIXES)
    return SUFFIXES.index(suffix)


def _is_new(path: Path, seen: set[tuple[int, int]]) -> bool:
    """Return True for the first path of a file."""
    try:
        status = path.stat()
    except OSError as error:
        raise SourceError(f"{shown_path(path)} cannot be read: {error.strerror}") from error
    key = (status.st_dev, status.st_ino)
    if key in seen:
        return False
    seen.add(key)
    return True
