"""Reader of CSV results."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import TextIO

from edgeinfer.readers.base import ANONYMOUS, COLUMNS, NotAResultError, OtherContentError, Receiver, RunInfo
from edgeinfer.readers.rows import RowGrouper, TableRow, further_columns, label_columns
from edgeinfer.representation import column_label

_MINUTE_COLUMNS = ["from_s", "to_s", "faces"]


def read_csv(path: Path, receiver: Receiver) -> Iterator[None]:
    """Read all runs of a CSV file, a row per step.

    Args:
        path: Path of the file.
        receiver: Object that receives the runs.

    Raises:
        NotAResultError: The columns are not those of a result, or the file contains anonymous counts.
        OSError: The file cannot be read.
    """
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = _rows(file)
        columns = next(rows, None)
        if columns is None or not set(COLUMNS) <= set(columns):
            if columns is not None and columns[:3] == _MINUTE_COLUMNS:
                raise NotAResultError(path, ANONYMOUS)
            raise OtherContentError(path, "it lacks the columns of one")
        yield from _read_rows(rows, columns, receiver)


def _read_rows(rows: Iterator[list[str] | None], columns: list[str], receiver: Receiver) -> Iterator[None]:
    values = itemgetter(*map(columns.index, COLUMNS))
    picture = columns.index("picture") if "picture" in columns else None
    shares, angles = further_columns(columns, receiver)
    share_places = {column_label(name): columns.index(name) for name in shares}
    angle_places = {name: columns.index(name) for name in angles}
    labels = tuple(map(column_label, label_columns(columns)))
    info = RunInfo(has_pictures=picture is not None, labels=labels)
    grouper = RowGrouper(receiver)
    grouper.begin(info)
    for row in rows:
        yield
        if row == columns:  # joined files
            grouper.begin(info)
        elif row is None or len(row) != len(columns):
            receiver.reject()
        else:
            first = _table_row(values(row), None if picture is None else row[picture])
            if shares:
                first = first._replace(shares=_numbers(row, share_places), pose=_numbers(row, angle_places))
            grouper.add(first)
    grouper.flush()


def _rows(file: TextIO) -> Iterator[list[str] | None]:
    """Yield the rows that are not blank, and None for one that cannot be parsed."""
    reader = csv.reader(file)
    while True:
        try:
            row: list[str] | None = next(reader)
        except StopIteration:
            return
        except csv.Error:  # a field of more than 128 KiB
            row = None
        if row != []:
            yield row


def _table_row(values: Sequence[str], picture: str | None) -> TableRow:
    index, time_s, track, *box, label, confidence = values
    return TableRow(
        picture, _integer(index), _number(time_s), _integer(track), tuple(map(_integer, box)), label or None,
        _number(confidence),
    )  # fmt: skip


def _numbers(row: Sequence[str], places: Mapping[str, int]) -> dict[str, float | None]:
    return {name: _number(row[place]) for name, place in places.items()}


def _integer(text: str) -> int | str | None:
    """Return an integer, None for an empty text, or an invalid text unchanged."""
    try:
        return int(text) if text else None
    except ValueError:
        return text


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
