"""Parquet files in progress, and their schema."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from edgeinfer.errors import CapabilityError, OutputError, shown_path
from edgeinfer.representation import POSE_COLUMNS, label_column
from edgeinfer.system.files import partial_path, replacing
from edgeinfer.system.portable import try_lock

ROW_GROUP_ROWS = 16_384
"""Maximum number of rows of a row group, and thus of rows in memory."""


class ParquetFile:
    """Temporary Parquet file that is completed and renamed by `finish`, or removed by `discard`."""

    def __init__(self, path: Path) -> None:
        """Create the temporary file.

        Raises:
            OutputError: Another run is writing the file.
            OSError: The file cannot be created.
        """
        self._writer: Any = None
        _check_unlocked(path)
        with ExitStack() as stack:
            partial = stack.enter_context(replacing(path))
            self._file = stack.enter_context(partial.open("wb"))
            try_lock(self._file.fileno())
            self._stack = stack.pop_all()

    def start(self, schema: Any) -> None:
        """Write the beginning of the file."""
        _, pq = import_pyarrow()
        self._schema = schema
        self._writer = pq.ParquetWriter(self._file, schema, compression="zstd")

    def write_rows(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Write a row group; values missing at the end of a row are null."""
        if not rows:
            return
        pa, _ = import_pyarrow()
        width = len(self._schema)
        columns = zip(*(row + (None,) * (width - len(row)) for row in rows), strict=True)
        arrays = [pa.array(values, type=field.type) for values, field in zip(columns, self._schema, strict=True)]
        self.write_table(pa.Table.from_arrays(arrays, schema=self._schema))

    def write_table(self, table: Any) -> None:
        """Write a table as row groups."""
        self._writer.write_table(table, row_group_size=ROW_GROUP_ROWS)

    def finish(self, metadata: Mapping[str, Any]) -> None:
        """Write the metadata and the end of the file, and rename it."""
        self._writer.add_key_value_metadata(
            {key: json.dumps(value, separators=(",", ":"), ensure_ascii=False) for key, value in metadata.items()}
        )
        self._writer.close()
        self._stack.close()

    def discard(self) -> None:
        """Remove the temporary file, unless it has been renamed."""
        with suppress(Exception):
            if self._writer is not None:
                self._writer.close()
        error = OutputError("discarded")
        with suppress(OutputError, OSError):
            self._stack.__exit__(type(error), error, None)


def _check_unlocked(path: Path) -> None:
    """Raise `OutputError` if another run is writing the file."""
    with suppress(FileNotFoundError), partial_path(Path(os.path.realpath(path))).open("r+b") as other:
        if not try_lock(other.fileno()):
            raise OutputError(
                f"cannot write {shown_path(path)}: another run is writing this file; choose another name or stop that "
                "run"
            )


def schema_of(labels: Sequence[str], *, has_poses: bool = False) -> Any:
    """Return the schema, which depends on the labels and the detector only."""
    pa, _ = import_pyarrow()
    first = [pa.field("source", pa.string(), nullable=False), pa.field("picture", pa.string())]
    first += [pa.field("frame", pa.int64(), nullable=False), pa.field("time_s", pa.float64(), nullable=False)]
    numbers = [pa.field(name, pa.int32()) for name in ("track", "x", "y", "w", "h")]
    label = [pa.field("label", pa.string())]
    shares = [pa.field(name, pa.float64()) for name in ("confidence", *map(label_column, labels))]
    pose = [pa.field(name, pa.float64()) for name in POSE_COLUMNS] if has_poses else []
    return pa.schema([*first, *numbers, *label, *shares, *pose])


def import_pyarrow() -> tuple[Any, Any]:
    """Return the modules `pyarrow` and `pyarrow.parquet`.

    Raises:
        CapabilityError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - optional, slow to import
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError as error:
        raise CapabilityError("Parquet needs pyarrow; install it with: pip install 'edgeinfer[batch]'") from error
    return pa, pq


@contextmanager
def output_errors(path: Path, action: str = "write") -> Iterator[None]:
    """Convert OSError, and pyarrow's own errors, which are ValueErrors, to OutputError."""
    try:
        yield
    except OutputError:
        raise
    except (OSError, ValueError) as error:
        number = getattr(error, "errno", None)
        cause = os.strerror(number) if number else str(error).splitlines()[0]
        raise OutputError(f"cannot {action} {shown_path(path)}: {cause}") from error
