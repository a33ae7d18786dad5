"""Reader of Parquet results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeinfer.errors import CapabilityError
from edgeinfer.outputs.parquet import HEADER_KEY, SUMMARY_KEY
from edgeinfer.readers.base import COLUMNS, NotAResultError, Receiver, RunInfo, run_info, text_of
from edgeinfer.readers.rows import RowGrouper, TableRow, further_columns
from edgeinfer.representation import column_label

BATCH_ROWS = 16_384


def read_parquet(path: Path, receiver: Receiver) -> Iterator[None]:
    """Read a Parquet file, a row per step; rows with another value of the column source start another run.

    Args:
        path: Path of the file.
        receiver: Object that receives the runs.

    Raises:
        CapabilityError: pyarrow is not installed.
        NotAResultError: The file cannot be parsed, or its columns are not those of a result.
        OSError: The file cannot be read.
    """
    try:
        import pyarrow  # noqa: PLC0415 - optional, slow to import
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError as error:
        raise CapabilityError("Parquet needs pyarrow; install it with: pip install 'edgeinfer[batch]'") from error
    with path.open("rb") as opened:
        try:
            with pq.ParquetFile(opened) as file:
                yield from _read(path, file, receiver)
        except (pyarrow.ArrowException, ValueError, OverflowError, TypeError) as error:
            cause = (str(error).splitlines() or [""])[0][:200]
            raise NotAResultError(path, f"it cannot be read as Parquet ({cause})") from error


def _read(path: Path, file: Any, receiver: Receiver) -> Iterator[None]:
    names = set(file.schema_arrow.names)
    if not set(COLUMNS) <= names:
        raise NotAResultError(path, "it lacks the columns of one")
    metadata = {key.decode(errors="replace"): value for key, value in (file.metadata.metadata or {}).items()}
    header, summary = _object(metadata, HEADER_KEY), _object(metadata, SUMMARY_KEY)
    columns = [name for name in ("source", "picture") if name in names]
    labels, angles = further_columns(file.schema_arrow.names, receiver)
    columns += [*COLUMNS, *labels, *angles]
    grouper, source, sources = RowGrouper(receiver), None, 0
    # pyarrow 18 reads no batches from a file without rows.
    for batch in file.iter_batches(BATCH_ROWS, columns=columns, use_threads=False) if file.num_row_groups else ():
        for name, row in _rows(batch, labels, angles):
            yield
            if sources == 0 or name != source:
                source, sources = name, sources + 1
                grouper.begin(_info(header, name))
            grouper.add(row)
    if sources == 0:
        grouper.begin(_info(header, None))
    grouper.flush()
    if summary and sources <= 1:
        receiver.summarize(summary)


def _info(header: Mapping[str, Any], source: Any) -> RunInfo:
    """Return the header of a run, whose source is that of its rows where they state one."""
    name = text_of(source)
    if not header:
        return RunInfo(source=name)
    info = run_info({**header, **({"source": name} if name else {})}, lists_all_frames=False)
    # A Parquet file is complete, or cannot be read.
    return replace(info, given=text_of(header.get("source")), has_summary=False)


def _rows(batch: Any, labels: Sequence[str], angles: Sequence[str]) -> Iterator[tuple[Any, TableRow]]:
    """Yield the source and the values of each row."""
    values = batch.to_pydict()
    empty = [None] * batch.num_rows
    first = (values.get("source", empty), values.get("picture", empty))
    shares, poses = _records(batch, labels), _records(batch, angles)
    for source, picture, index, time_s, track, x, y, w, h, label, confidence, share, pose in zip(
        *first, *(values[name] for name in COLUMNS), shares, poses, strict=True
    ):
        yield source, TableRow(picture, index, time_s, track, (x, y, w, h), label, confidence, share, pose)


def _records(batch: Any, names: Sequence[str]) -> Sequence[Mapping[str, Any]]:
    """Return a map from label or angle to value for each row."""
    if not names:
        return [{}] * batch.num_rows
    records: Sequence[Mapping[str, Any]] = (
        batch.select(list(names)).rename_columns(list(map(column_label, names))).to_pylist()
    )
    return records


def _object(metadata: Mapping[str, bytes], key: str) -> dict[str, Any]:
    try:
        value = json.loads(metadata.get(key, b"{}"))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
