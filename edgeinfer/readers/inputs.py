"""Result files of the command line: files, folders, and the folder of a batch with its list of sources."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgeinfer.errors import SourceError, SourceNotFoundError, path_text, shown_path
from edgeinfer.outputs.subtitles import FORMATS as SUBTITLE_FORMATS
from edgeinfer.readers.base import EXPECTED, SUBTITLES, SUFFIXES
from edgeinfer.readers.batch_list import TABLE, claims, read_table, recorded_results
from edgeinfer.readers.files import ResultFile, each_once, one_per_source
from edgeinfer.sources.order import natural_key
from edgeinfer.system.paths import local_path

SUMMARY_COLUMNS = (
    "source", "track", "first_s", "last_s", "duration_s", "dominant", "mean_confidence", "unknown_share",
)  # fmt: skip
"""Columns of the summary of a report."""


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
    """Result files, sources of batches without one, and lists of batches.

    Attributes:
        files: Result files, each once.
        failed: Failed sources.
        unreadable: Sources that have only subtitles.
        tables: Lists of batches that were read.
        left_out: Result files of a source that has a result in a preferred format, each with the latter.
    """

    files: list[ResultFile] = field(default_factory=list)
    failed: list[FailedSource] = field(default_factory=list)
    unreadable: list[FailedSource] = field(default_factory=list)
    tables: list[Path] = field(default_factory=list)
    left_out: list[tuple[ResultFile, ResultFile]] = field(default_factory=list)


def find_inputs(arguments: Sequence[str]) -> Inputs:
    """Find the results that the arguments name; one per source that has results in several formats.

    Args:
        arguments: Result files, and folders, which are searched recursively without hidden files and folders.

    Raises:
        SourceNotFoundError: An argument does not exist, a folder has no result, or the sources have only subtitles.
        SourceError: A folder or the list of a batch cannot be read, or an argument is not a file or folder.
    """
    inputs = Inputs()
    for argument in arguments:
        path = local_path(argument, SourceError)
        if argument and path.is_dir():
            _add_folder(inputs, path)
        elif path.is_file():
            if TABLE.fullmatch(path.name):
                raise SourceError(f"{shown_path(path)} is the list of a batch, not a result; give its folder instead")
            inputs.files.append(ResultFile(path, path_text(path), None, None, True, path.parent))
        elif argument and os.path.lexists(path):
            raise SourceError(f"{shown_path(path)} is neither a file nor a folder")
        else:
            raise SourceNotFoundError(f"no result at {shown_path(argument)}: {EXPECTED}")
    if inputs.unreadable and not (inputs.files or inputs.failed):
        raise SourceNotFoundError(f"no result of {shown_path(inputs.unreadable[0].name)}: {SUBTITLES}")
    inputs.files, inputs.left_out = one_per_source(each_once(inputs.files))
    return inputs


def _add_folder(inputs: Inputs, folder: Path) -> None:
    """Add the results in a folder; with the list of a batch, also the names of the sources, and those without one."""
    found = sorted(_walk(folder), key=lambda path: natural_key(path_text(path)))
    tables = [path for path in found if path.parent == folder and TABLE.fullmatch(path.name)]
    entries = {entry.source: entry for table in reversed(tables) for entry in read_table(table)}
    results: dict[str, list[Path]] = {}
    for path in found:
        if not TABLE.fullmatch(path.name):
            results.setdefault(_stem(path, folder), []).append(path)
    readable = {stem: files for stem, paths in results.items() if (files := list(filter(_is_readable, paths)))}
    if not readable and not entries:
        raise SourceNotFoundError(f"no result in {shown_path(folder)}: expected .jsonl, .csv or .parquet files")
    recorded = recorded_results(folder) if entries else {}
    claimed = claims(entries, results, recorded)
    for stem, paths in readable.items():
        entry = claimed.get(stem)
        if entry is None:
            found = [path for path in paths if not _is_summary(path)]
            inputs.files += [ResultFile(path, path_text(path), None, None, False, folder) for path in found]
        elif entry.status != "failed":
            inputs.files += [ResultFile(path, path_text(path), entry.source, entry, False, folder) for path in paths]
    with_result = {entry.source for stem, entry in claimed.items() if stem in readable}
    with_subtitles = {entry.source for stem, entry in claimed.items() if stem in results}
    for entry in sorted(entries.values(), key=lambda entry: natural_key(entry.source)):
        if entry.status == "failed":
            inputs.failed.append(FailedSource(entry.source, entry.reason or "no reason was recorded"))
        elif entry.source not in with_result:
            formats = recorded[entry.source].formats if entry.source in recorded else ()
            if any(f".{each}" in SUFFIXES for each in formats) or not (formats or entry.source in with_subtitles):
                inputs.failed.append(FailedSource(entry.source, "its result is missing"))
            else:
                inputs.unreadable.append(FailedSource(entry.source, SUBTITLES))
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
    """Yield the files with a suffix of a result or of subtitles below a folder, without hidden ones."""

    def fail(error: OSError) -> None:
        raise SourceError(f"{shown_path(str(error.filename))} cannot be read: {error.strerror}") from error

    for parent, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in (*SUFFIXES, *SUBTITLE_FORMATS):
                yield Path(parent, name)


def _is_readable(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _stem(path: Path, folder: Path) -> str:
    """Return the path of a result below its folder, without the suffix."""
    return path_text(path.relative_to(folder).with_suffix(""))
