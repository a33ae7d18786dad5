"""Selection of the reader for a result file, by its content."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgeinfer.outputs.subtitles import FORMATS as SUBTITLE_FORMATS
from edgeinfer.readers.base import SUBTITLES, NotAResultError, Receiver
from edgeinfer.readers.csv import read_csv
from edgeinfer.readers.jsonl import read_jsonl
from edgeinfer.system import interrupts

CHECK_STEPS = 256
"""Number of lines or rows after which `read_result` checks for an interruption."""
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
    for step, _ in enumerate(read_steps(path, receiver), 1):
        if step % CHECK_STEPS == 0:
            interrupts.check()


def read_steps(path: Path, receiver: Receiver) -> Iterator[None]:
    """Read a result file in any format, a line or row per step; see `read_result`."""
    if path.suffix.lower() in SUBTITLE_FORMATS:
        raise NotAResultError(path, SUBTITLES)
    with path.open("rb") as file:
        start = file.read(4)
    if start == _PARQUET_START:
        from edgeinfer.readers.parquet import read_parquet  # noqa: PLC0415 - optional package

        return read_parquet(path, receiver)
    return read_jsonl(path, receiver) if start.startswith(b"{") else read_csv(path, receiver)
