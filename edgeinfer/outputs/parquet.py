"""Parquet output, and merging of Parquet files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from edgeinfer.errors import CapabilityError, OutputError, path_text, shown_path
from edgeinfer.outputs.base import check_writable
from edgeinfer.outputs.schema import header_line, joined_summary, rounded, summary_line
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import Face, Frame, Result
from edgeinfer.system.files import partial_path, replacing, try_lock
from edgeinfer.system.paths import local_path

ROW_GROUP_ROWS = 16_384
"""Maximum number of rows of a row group, and thus of rows in memory."""
HEADER_KEY = "edgeinfer.header"
"""Key of the header line of JSONL in the metadata of a file."""
SUMMARY_KEY = "edgeinfer.summary"
"""Key of the summary line of JSONL in the metadata of a file."""


class ParquetSink(AbstractContextManager["ParquetSink"]):
    """Sink that writes one row per face to a Parquet file.

    The columns are source and picture, followed by those of CSV; picture is null for videos, so that all files have
    the same schema. The metadata of the file contains the header and the summary of the run as in JSONL. A Parquet
    file is only readable when it is complete, so the rows go to a temporary file, which replaces an existing file at
    the end of the run. A run that is interrupted or fails keeps the rows of its frames; a killed run leaves no result.

    Attributes:
        closes_last: True; the summary includes the time in which the other sinks close.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import edgeinfer
        >>> from edgeinfer.model.card import asset_path
        >>> from edgeinfer.outputs.parquet import ParquetSink
        >>> import pyarrow.parquet
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "faces.parquet")
        ...     with edgeinfer.open_source(str(asset_path("demo.mp4"))) as source:
        ...         summary = edgeinfer.run(
        ...             source, edgeinfer.load_pipeline(), [ParquetSink(str(path), "demo.mp4")], max_frames=2
        ...         )
        ...     pyarrow.parquet.read_table(path).column_names[:4]
        ['source', 'picture', 'frame', 'time_s']
    """

    closes_last = True

    def __init__(self, path: str, source: str | None = None, *, empty_frames: bool = False) -> None:
        """Validate the path; the temporary file is created by `__enter__`.

        Args:
            path: Path of the file.
            source: Value of the column source, or None for the name of the run's source.
            empty_frames: Write a row without a face for each frame that has none.

        Raises:
            CapabilityError: pyarrow is not installed.
            OutputError: The folder does not exist or is not writable.
        """
        _pyarrow()
        self._path = local_path(path, OutputError, expand_home=False)
        check_writable(self._path)
        self._source, self._empty_frames = source, empty_frames
        self._file: _ParquetFile | None = None
        self._rows: list[tuple[Any, ...]] = []
        self._has_frames = False
        self._metadata: Callable[[], dict[str, Any]] = dict

    def __enter__(self) -> Self:
        """Create the temporary file.

        Raises:
            OutputError: The file cannot be created.
        """
        with _output_errors(self._path):
            self._file = _ParquetFile(self._path)
        return self

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Define the columns.

        Raises:
            OutputError: The file cannot be written.
        """
        if self._source is None:
            self._source = header.source
        self._source = path_text(self._source)
        self._metadata = lambda: {HEADER_KEY: header_line(header), SUMMARY_KEY: summary_line(summary())}
        with self._writing() as file:
            file.start(_schema(header.labels))

    def write(self, frame: Frame, result: Result) -> None:
        """Add a row for each face.

        Raises:
            OutputError: The rows cannot be written.
        """
        self._has_frames = True
        first = (self._source, None if frame.picture is None else path_text(frame.picture))
        first += (frame.index, round(frame.timestamp_s, 4))
        self._rows += [(*first, *_face_values(frame, face)) for face in result.faces]
        if self._empty_frames and not result.faces:
            self._rows.append(first)
        if len(self._rows) >= ROW_GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        with self._writing() as file:
            file.write_rows(rows)

    @contextmanager
    def _writing(self) -> Iterator[_ParquetFile]:
        """Yield the file, and discard it if it cannot be written."""
        if self._file is None:
            raise OutputError(f"cannot write {shown_path(self._path)}: the output is not open")
        try:
            with _output_errors(self._path):
                yield self._file
        except OutputError:
            file, self._file = self._file, None
            file.discard()
            raise

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Complete the file, also after an error if frames were written.

        Raises:
            OutputError: The file cannot be written, or cannot replace the existing one.
        """
        if self._file is None:
            return
        if kind is None or self._has_frames:
            self._flush()
            with self._writing() as file:
                file.finish(self._metadata())
        else:
            self._file.discard()
        self._file = None


def merge_parquet(parts: Sequence[Path], target: Path, summary: Mapping[str, Any] | None = None) -> None:
    """Join the files of consecutive chunks of the pictures of one source, reading a row group at a time.

    The track numbers of a chunk, which begin at 1, continue those of the chunks before it.

    Args:
        parts: At least one complete file, in the order of their rows. The header is that of the first.
        target: Path of the joined file; it is replaced atomically.
        summary: Summary line of the joined file, or None for the sums of the parts.

    Raises:
        CapabilityError: pyarrow is not installed.
        OutputError: A part cannot be read, or the target cannot be written.
    """
    pa, pq = _pyarrow()
    metadata = [read_metadata(part) for part in parts]
    tracks = 0
    with _output_errors(target), ExitStack() as stack:
        file = _ParquetFile(target)
        stack.callback(file.discard)
        batches: list[Any] = []
        for part, values in zip(parts, metadata, strict=True):
            with part.open("rb") as opened, pq.ParquetFile(opened) as rows:
                if part == parts[0]:
                    file.start(rows.schema_arrow.remove_metadata())
                for batch in rows.iter_batches(ROW_GROUP_ROWS, use_threads=False):
                    batches.append(_renumbered(batch, tracks))
                    if sum(held.num_rows for held in batches) >= ROW_GROUP_ROWS:
                        file.write_table(pa.Table.from_batches(batches))
                        batches = []
            tracks += values[SUMMARY_KEY]["faces"]
        if batches:
            file.write_table(pa.Table.from_batches(batches))
        total = joined_summary([values[SUMMARY_KEY] for values in metadata]) if summary is None else summary
        file.finish({HEADER_KEY: metadata[0][HEADER_KEY], SUMMARY_KEY: total})


def _renumbered(batch: Any, offset: int) -> Any:
    """Return a record batch with a number added to the tracks."""
    if not offset:
        return batch
    import pyarrow.compute as pc  # noqa: PLC0415 - optional, slow to import

    position = batch.schema.get_field_index("track")
    tracks = pc.add(batch.column(position), offset).cast(batch.schema.field(position).type)
    return batch.set_column(position, batch.schema.field(position), tracks)


def read_metadata(path: Path) -> dict[str, dict[str, Any]]:
    """Return the header and the summary of a Parquet file, by `HEADER_KEY` and `SUMMARY_KEY`.

    Raises:
        CapabilityError: pyarrow is not installed.
        OutputError: The file cannot be read, or was not written by edgeinfer.
    """
    _, pq = _pyarrow()
    with _output_errors(path, "read"), path.open("rb") as file:
        metadata = pq.read_metadata(file).metadata or {}
        try:
            return {key: json.loads(metadata[key.encode()]) for key in (HEADER_KEY, SUMMARY_KEY)}
        except KeyError:
            raise OutputError(f"{shown_path(path)} is not a result of edgeinfer") from None


class _ParquetFile:
    """Temporary Parquet file that is completed and renamed by `finish`, or removed by `discard`."""

    def __init__(self, path: Path) -> None:
        self._writer: Any = None
        _check_unlocked(path)
        with ExitStack() as stack:
            partial = stack.enter_context(replacing(path))
            self._file = stack.enter_context(partial.open("wb"))
            try_lock(self._file.fileno())
            self._stack = stack.pop_all()

    def start(self, schema: Any) -> None:
        _, pq = _pyarrow()
        self._schema = schema
        self._writer = pq.ParquetWriter(self._file, schema, compression="zstd")

    def write_rows(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Write a row group; values missing at the end of a row are null."""
        if not rows:
            return
        pa, _ = _pyarrow()
        width = len(self._schema)
        columns = zip(*(row + (None,) * (width - len(row)) for row in rows), strict=True)
        arrays = [pa.array(values, type=field.type) for values, field in zip(columns, self._schema, strict=True)]
        self.write_table(pa.Table.from_arrays(arrays, schema=self._schema))

    def write_table(self, table: Any) -> None:
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


def _schema(labels: Sequence[str]) -> Any:
    """Return the schema, which depends on the labels only."""
    pa, _ = _pyarrow()
    first = [pa.field("source", pa.string(), nullable=False), pa.field("picture", pa.string())]
    first += [pa.field("frame", pa.int64(), nullable=False), pa.field("time_s", pa.float64(), nullable=False)]
    numbers = [pa.field(name, pa.int32()) for name in ("track", "x", "y", "w", "h")]
    label = [pa.field("label", pa.string())]
    return pa.schema([*first, *numbers, *label, *(pa.field(name, pa.float64()) for name in ("confidence", *labels))])


def _face_values(frame: Frame, face: Face) -> tuple[Any, ...]:
    shares = rounded({"": face.emotion.confidence, **face.emotion.probabilities}).values()
    return (face.track_id, *frame.source_box(face.box).xywh, face.emotion.label, *shares)


def _pyarrow() -> tuple[Any, Any]:
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
def _output_errors(path: Path, action: str = "write") -> Iterator[None]:
    """Convert OSError, and pyarrow's own errors, which are ValueErrors, to OutputError."""
    try:
        yield
    except OutputError:
        raise
    except (OSError, ValueError) as error:
        number = getattr(error, "errno", None)
        cause = os.strerror(number) if number else str(error).splitlines()[0]
        raise OutputError(f"cannot {action} {shown_path(path)}: {cause}") from error
