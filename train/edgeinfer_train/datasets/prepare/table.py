"""Tables of published data sets: CSV files of any size, encoding and delimiter, read row by row."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TextIO

from edgeinfer.errors import shown_path
from edgeinfer_train.datasets.prepare.report import Reason
from edgeinfer_train.datasets.prepare.tree import DAMAGED, MAX_TABLE_BYTES, FileTree
from edgeinfer_train.errors import DataError

DELIMITERS = ",;\t|"
MAX_LINE_CHARACTERS = 100_000
"""Maximum length of a parsed line in characters; a row of fer2013.csv has at most 9,230 characters."""
MAX_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row.

    Attributes:
        values: Values of the requested columns without surrounding spaces; "" where the row has none.
        reason: Reason for skipping the row, or None.
    """

    values: tuple[str, ...]
    reason: Reason | None = None


def read_rows(tree: FileTree, path: str, columns: Sequence[str], header: Sequence[str] = ()) -> Iterator[TableRow]:
    """Yield the rows of a table; empty lines are not rows.

    The text is UTF-8 or UTF-16, with or without a byte order mark. The delimiter is the most frequent of comma,
    semicolon, tab and bar in the header, and a row is one line. Column names are compared without case and
    surrounding spaces.

    Args:
        tree: File tree of the source.
        path: Path of the table.
        columns: Names of the columns to read.
        header: Names of all columns, in order, of a table whose first line has none of them.

    Raises:
        DataError: The file is not a table with these columns, is damaged, or too large.
    """
    with _open_lines(tree, path) as (lines, name):
        first = _read_first(lines)
        delimiter = max(DELIMITERS, key=first.count)
        found, rows = [column.lower() for column in _names(first, delimiter)], lines
        known = [column.lower() for column in header]
        if header and not set(known).intersection(found):
            # Fields may contain other delimiters, such as the landmarks of AffectNet.
            fitting = next((d for d in DELIMITERS if len(_names(first, d)) == len(header)), None)
            if fitting:
                found, delimiter, rows = known, fitting, chain([first], lines)
        positions = _positions(found, columns, name)
        for number, line in enumerate(rows):
            if number >= MAX_ROWS:
                raise DataError(f"{name} has more than {MAX_ROWS:,} rows")
            yield _parse(line, delimiter, positions, len(found))


def read_columns(tree: FileTree, path: str) -> list[str]:
    """Return the column names of a table as written, without surrounding spaces; see `read_rows`."""
    with _open_lines(tree, path) as (lines, _):
        first = _read_first(lines)
        return _names(first, max(DELIMITERS, key=first.count))


def read_lines(tree: FileTree, path: str) -> Iterator[str | None]:
    """Yield the non-empty lines of a text file, with None in place of any line that is too long; see `read_rows`."""
    with _open_lines(tree, path) as (lines, _):
        yield from lines


@contextlib.contextmanager
def _open_lines(tree: FileTree, path: str) -> Iterator[tuple[Iterator[str | None], str]]:
    """Open a text file; yield its lines, and its name for messages."""
    name, size = shown_path(path), tree.files[path]
    if size > MAX_TABLE_BYTES:
        raise DataError(f"{name} is {size / 1e9:.1f} GB, above the limit of {MAX_TABLE_BYTES / 1e9:g} GB")
    try:
        with _open_text(tree, path) as text:
            yield _lines(text), name
    except DataError:
        raise
    except (csv.Error, *DAMAGED) as error:
        raise DataError(f"{name} is not a readable CSV file: {error}") from error


def _lines(file: TextIO) -> Iterator[str | None]:
    """Yield the non-empty lines of a text file, with None in place of any line that is too long."""
    while line := file.readline(MAX_LINE_CHARACTERS):
        if len(line) < MAX_LINE_CHARACTERS or line.endswith("\n"):
            if not line.isspace():
                yield line
            continue
        while line and not line.endswith("\n"):
            line = file.readline(MAX_LINE_CHARACTERS)
        yield None


def _open_text(tree: FileTree, path: str) -> TextIO:
    with tree.open(path) as file:
        start = file.read(2)
    if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return io.TextIOWrapper(tree.open(path), encoding="utf-16", errors="replace")
    # File names in a table may have the encoding of the system on which it was written.
    return io.TextIOWrapper(tree.open(path), encoding="utf-8-sig", errors="surrogateescape")


def _read_first(lines: Iterator[str | None]) -> str:
    """Return the first line with content."""
    line = next(lines, "")
    if line and line.startswith("sep="):  # Excel writes the delimiter into the first line
        line = next(lines, "")
    if not line:
        raise csv.Error("it has no header" if line == "" else "its first line is too long")
    return line


def _names(line: str, delimiter: str) -> list[str]:
    return [column.strip() for column in _fields(line, delimiter)]


def _positions(header: list[str], columns: Sequence[str], name: str) -> list[int]:
    if not "".join(header).isprintable():
        raise csv.Error("it is not text")
    missing = [column for column in columns if column.lower() not in header]
    if missing:
        raise DataError(f"{name} lacks the columns {', '.join(missing)}; expected {', '.join(columns)}")
    return [header.index(column.lower()) for column in columns]


def _parse(line: str | None, delimiter: str, positions: list[int], width: int) -> TableRow:
    """Parse one line; no published table has line breaks inside a field, so a damaged row does not affect others."""
    reason: Reason = "too large"
    if line is not None:
        try:
            row = [value.strip() for value in _fields(line, delimiter)]
            if not any(row[width:]):
                return TableRow(tuple(row[at] if at < len(row) else "" for at in positions))
        except csv.Error:
            pass
        reason = "unreadable row"
    return TableRow(("",) * len(positions), reason)


def _fields(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True, strict=True))
