"""Merging of the results of consecutive chunks of pictures into the result of their source."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeinfer.errors import OutputError, shown_path
from edgeinfer.options.groups import ResultFormat
from edgeinfer.outputs.parquet import merge_parquet
from edgeinfer.outputs.schema import joined_summary


def merge_chunks(suffix: ResultFormat, chunks: Sequence[Path], target: Path) -> None:
    """Write the result of a source from those of its chunks, in bounded memory.

    The rows are those of one run over all pictures: a run numbers the faces of pictures consecutively, so the numbers
    of each chunk, which begin at 1, are increased.

    Args:
        suffix: Format.
        chunks: Results of at least one chunk, in the order of their pictures.
        target: Path of the merged result; an existing file is replaced.

    Raises:
        OutputError: The target cannot be written, or a chunk cannot be read.
        CapabilityError: Parquet needs pyarrow, which is not installed.
        ValueError: A chunk is not a complete result.
    """
    try:
        _MERGERS[suffix](chunks, target)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {shown_path(target)}: {error.strerror or error}") from error


def _merge_csv(chunks: Sequence[Path], target: Path) -> None:
    with target.open("w", encoding="utf-8", newline="") as output:
        writer = csv.writer(output, lineterminator="\n")
        tracks = 0
        for number, chunk in enumerate(chunks):
            with chunk.open(encoding="utf-8", newline="") as file:
                rows = csv.reader(file)
                columns = next(rows, None)
                if columns is None:
                    raise ValueError(f"{shown_path(chunk)} is empty")
                if not number:
                    writer.writerow(columns)
                tracks += _copy_rows(rows, writer.writerow, columns.index("track"), tracks)


def _copy_rows(rows: Iterable[list[str]], write: Callable[[list[str]], object], column: int, offset: int) -> int:
    """Copy rows, add an offset to their tracks, and return the number of tracks."""
    count = 0
    for row in rows:
        if row[column]:  # empty in the row of a picture without faces
            row[column] = str(int(row[column]) + offset)
            count += 1
        write(row)
    return count


def _merge_jsonl(chunks: Sequence[Path], target: Path) -> None:
    summaries: list[Mapping[str, Any]] = []
    with target.open("w", encoding="utf-8", newline="") as output:
        tracks = 0
        for chunk in chunks:
            with chunk.open(encoding="utf-8", newline="") as lines:
                header = next(lines, "")
                if not summaries:
                    output.write(header)
                summary = _copy_lines(lines, output.write, tracks)
            if summary is None:
                raise ValueError(f"{shown_path(chunk)} has no summary")
            summaries.append(summary)
            tracks += summary["faces"]
        output.write(_line(joined_summary(summaries)))


def _copy_lines(lines: Iterable[str], write: Callable[[str], object], offset: int) -> Mapping[str, Any] | None:
    """Copy the lines of frames, add an offset to their tracks, and return the summary, if there is one."""
    for line in lines:
        if line.endswith('"faces":[]}\n'):
            write(line)
            continue
        value: dict[str, Any] = json.loads(line)
        if value["type"] == "summary":
            return value
        for face in value["faces"]:
            face["track"] += offset
        write(_line(value))
    return None


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n"


_MERGERS: dict[ResultFormat, Callable[[Sequence[Path], Path], None]] = {
    "csv": _merge_csv,
    "jsonl": _merge_jsonl,
    "parquet": merge_parquet,
}
