"""Creation of a report: reads all results once, one recording at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeinfer.errors import EdgeInferError, OutputError, SourceError, SourceNotFoundError, UsageError, shown_path
from edgeinfer.options.groups import ReportOptions
from edgeinfer.outputs.base import check_writable
from edgeinfer.readers.base import NotAResultError
from edgeinfer.readers.files import ResultFile
from edgeinfer.readers.inputs import FailedSource, Inputs, find_inputs
from edgeinfer.readers.select import read_result
from edgeinfer.report.builder import RecordingBuilder
from edgeinfer.report.groups import compare_groups, compile_group, group_of
from edgeinfer.report.overview import NOT_READABLE, Overview
from edgeinfer.report.recording import Recording, shares_of
from edgeinfer.report.table import SummaryTable
from edgeinfer.report.timeline import compact
from edgeinfer.sources.order import listed
from edgeinfer.system.files import write_file
from edgeinfer.system.identity import NamedPath, check_distinct
from edgeinfer.system.paths import local_path

if TYPE_CHECKING:
    import re

    from edgeinfer.report.details import Images

DETAILED_RECORDINGS = 100
"""Number of recordings with details on the page."""


@dataclass(frozen=True, slots=True)
class ReportSummary:
    """Counts of a report.

    Attributes:
        recordings: Number of recordings.
        failed: Number of failed sources.
        rows: Number of rows of the summary as CSV.
        ignored: Files in folders that are not results.
        notes: Sentences about results that were left out, and pictures of faces that could not be made.
    """

    recordings: int
    failed: int
    rows: int
    ignored: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def create_report(results: Sequence[str], options: ReportOptions) -> ReportSummary:
    """Write a report about results of `run` and `batch`.

    Args:
        results: Result files (JSONL, CSV, Parquet) and folders of them, such as the folder of a batch.
        options: Outputs and contents of the report.

    Returns:
        Counts of the report.

    Raises:
        UsageError: No output is requested, an output has a wrong suffix or is an input, or the group is not a regular
            expression.
        CapabilityError: A package is not installed.
        SourceError: A result or the folder of the sources does not exist, or a file cannot be read or is not a result.
        OutputError: An output cannot be written.
    """
    page_path, table_path = _output_path(options.out, ".html", "out"), _output_path(options.csv, ".csv", "csv")
    if page_path is None and table_path is None:
        raise UsageError("no output: set `out` to a file such as report.html, or `csv` to one such as summary.csv")
    pattern = None if options.group is None else compile_group(options.group)
    sources = _sources_folder(options.sources)
    page = None
    if page_path is not None:
        from edgeinfer.report.page import Page  # noqa: PLC0415 - needs Jinja2

        page = Page()
    inputs = find_inputs(results)
    _check_outputs(page_path, table_path, inputs)
    table = SummaryTable(table_path)
    notes: tuple[str, ...] = ()
    with table.writing():
        reading = _Reading(pattern, table)
        reading.read(inputs)
        if page is not None and page_path is not None:
            images, notes = _images(reading.detailed, sources) if options.thumbnails else ({}, ())
            groups = compare_groups(reading.shares, reading.overview.labels()) if pattern is not None else []
            _write_page(page_path, page.render(reading.overview, reading.detailed, groups, images, notes))
    overview = reading.overview
    notes = (*_notes_about(inputs), *notes)
    return ReportSummary(len(overview.results), len(overview.failed), table.rows, tuple(reading.ignored), notes)


class _Reading:
    """Sums over all results.

    Attributes:
        overview: All recordings.
        detailed: The first recordings.
        shares: Group and shares of each recording, if there are groups.
        ignored: Files in folders that are not results.
    """

    def __init__(self, pattern: re.Pattern[str] | None, table: SummaryTable) -> None:
        self.overview = Overview()
        self.detailed: list[Recording] = []
        self.shares: list[tuple[str, dict[str, float]]] = []
        self.ignored: list[Path] = []
        self._pattern, self._table = pattern, table
        self._damaged: list[FailedSource] = []

    def read(self, inputs: Inputs) -> None:
        """Read all results.

        Raises:
            SourceError: A file that was named is not a result, or one cannot be read.
        """
        for file in inputs.files:
            self._read_file(file)
        for source in (*inputs.failed, *self._damaged):
            self.overview.add_failed(source, self._group_of(source))
        if not self.overview.rows:
            raise NotAResultError(self.ignored[0], "and no other file of the folder is one")
        for source in inputs.unreadable:
            self.overview.add_failed(source, self._group_of(source), NOT_READABLE)

    def _group_of(self, source: FailedSource) -> str | None:
        return None if self._pattern is None else group_of(self._pattern, source.name)

    def _read_file(self, file: ResultFile) -> None:
        builder = RecordingBuilder(file, self._add, self._table.add_picture_face)
        try:
            read_result(file.path, builder)
        except NotAResultError as error:
            if file.named:
                raise
            if file.entry is None:
                self.ignored.append(file.path)
            else:
                self._damaged.append(FailedSource(file.entry.source, str(error)))
        except EdgeInferError:
            raise
        except OSError as error:
            raise SourceError(f"{shown_path(file.path)} cannot be read: {error.strerror}") from error
        else:
            builder.close()

    def _add(self, recording: Recording) -> None:
        if self._pattern is not None:
            recording.group = group_of(self._pattern, recording.name, recording.result)
            self.shares.append((recording.group, shares_of(recording.shares)))
        self.overview.add(recording)
        self._table.add(recording)
        if len(self.detailed) < DETAILED_RECORDINGS:
            compact(recording)
            self.detailed.append(recording)


def _output_path(name: str | None, suffix: str, option: str) -> Path | None:
    """Return the path of an output after checking its suffix and its folder."""
    if name is None:
        return None
    path = local_path(name, OutputError)
    if path.suffix.lower() != suffix:
        raise UsageError(f"invalid `{option}` {shown_path(name)}: expected a file name that ends in {suffix}")
    check_writable(path)
    return path


def _check_outputs(page: Path | None, table: Path | None, inputs: Inputs) -> None:
    """Check that no output replaces a result."""
    outputs = [NamedPath(f"`{name}`", str(path)) for name, path in (("out", page), ("csv", table)) if path is not None]
    results = [*inputs.files, *(file for file, _ in inputs.left_out)]
    files = [*(file.path for file in results), *inputs.tables]
    check_distinct(outputs, (NamedPath("the result", str(path)) for path in files))


def _sources_folder(folder: Path | None) -> Path | None:
    """Return the folder of the sources after checking that it exists."""
    if folder is None:
        return None
    path = local_path(folder, SourceError)
    if not os.path.isdir(path):  # noqa: PTH112 - false, not an error, without permission
        raise SourceNotFoundError(f"invalid `sources` {shown_path(folder)}: expected an existing folder")
    return path


def _notes_about(inputs: Inputs) -> Iterator[str]:
    """Yield sentences about named files that were left out, and about sources that cannot be read."""
    for file, other in inputs.left_out:
        if file.named:
            yield f"{shown_path(file.path)} was left out: {shown_path(other.path)} has the same source"
    if sources := inputs.unreadable:
        yield f"no result of {listed([source.name for source in sources], ', ')}: {sources[0].reason}"


def _images(recordings: Sequence[Recording], sources: Path | None) -> tuple[Mapping[int, Images], tuple[str, ...]]:
    """Return pictures of faces, and sentences about missing ones."""
    from edgeinfer.report.thumbnails import crop_faces  # noqa: PLC0415 - loads OpenCV

    return crop_faces(recordings, sources)


def _write_page(path: Path, text: str) -> None:
    try:
        write_file(path, text)
    except OSError as error:
        raise OutputError(f"cannot write {shown_path(path)}: {error.strerror}") from error
