"""Selection of the reader for a result file, by its content."""

from __future__ import annotations

from pathlib import Path

from edgeinfer.report.readers.base import Receiver
from edgeinfer.report.readers.csv import read_csv
from edgeinfer.report.readers.jsonl import read_jsonl

_PARQUET_START = b"PAR1"


def read_result(path: Path, receiver: Receiver) -> None:
    """Read a result file in any format.

    Args:
        path: Path of the file.
        receiver: Object that receives the runs.

    Raises:
        CapabilityError: The file is Parquet and pyarrow is not installed.
        NotAResultError: The file is not a result.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(4)
    if start == _PARQUET_START:
        from edgeinfer.report.readers.parquet import read_parquet  # noqa: PLC0415 - optional package

        read_parquet(path, receiver)
    elif start.startswith(b"{"):
        read_jsonl(path, receiver)
    else:
        read_csv(path, receiver)
