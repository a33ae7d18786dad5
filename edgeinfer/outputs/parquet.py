"""Parquet output, and merging of Parquet files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from edgeinfer.errors import OutputError, exists_already, path_text, shown_path
from edgeinfer.outputs.base import check_writable
from edgeinfer.outputs.line_file import is_pipe_or_device
from edgeinfer.outputs.parquet_file import ROW_GROUP_ROWS, ParquetFile, import_pyarrow, output_errors, schema_of
from edgeinfer.outputs.schema import header_line, joined_summary, summary_line
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.representation import pose_values, rounded
from edgeinfer.results import Face, Frame, Result
from edgeinfer.system.paths import local_path
from edgeinfer.units import counted

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
        written: Path and number of rows, for the summary of a run; empty until the file is complete.

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

    def __init__(
        self, path: str, source: str | None = None, *, empty_frames: bool = False, no_overwrite: bool = False
    ) -> None:
        """Validate the path; the temporary file is created by `__enter__`.

        Args:
            path: Path of the file.
            source: Value of the column source, or None for the name of the run's source.
            empty_frames: Write a row without a face for each frame that has none.
            no_overwrite: Refuse an existing file.

        Raises:
            CapabilityError: pyarrow is not installed.
            OutputError: The folder does not exist or is not writable, or the file must not be overwritten.
        """
        import_pyarrow()
        self._path = local_path(path, OutputError, expand_home=False)
        check_writable(self._path)
        if no_overwrite and os.path.lexists(self._path) and not is_pipe_or_device(self._path):
            raise OutputError(exists_already(self._path))
        self._source, self._empty_frames = source, empty_frames
        self._file: ParquetFile | None = None
        self._rows: list[tuple[Any, ...]] = []
        self._row_count = 0
        self._has_frames = self._complete = self._has_poses = False
        self._metadata: Callable[[], dict[str, Any]] = dict

    def __enter__(self) -> Self:
        """Create the temporary file.

        Raises:
            OutputError: The file cannot be created.
        """
        with output_errors(self._path):
            self._file = ParquetFile(self._path)
        return self

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Define the columns.

        Raises:
            OutputError: The file cannot be written.
        """
        if self._source is None:
            self._source = header.source
        self._source = path_text(self._source)
        self._has_poses = header.has_poses
        self._metadata = lambda: {HEADER_KEY: header_line(header), SUMMARY_KEY: summary_line(summary())}
        with self._writing() as file:
            file.start(schema_of(header.labels, has_poses=header.has_poses))

    def write(self, frame: Frame, result: Result) -> None:
        """Add a row for each face.

        Raises:
            OutputError: The rows cannot be written.
        """
        self._has_frames = True
        picture = None if frame.picture is None else path_text(frame.picture)
        first = (self._source, picture, frame.index, round(frame.timestamp_s, 4))
        self._rows += [(*first, *_face_values(frame, face), *self._pose(face)) for face in result.faces]
        if self._empty_frames and not result.faces:
            self._rows.append(first)
        if len(self._rows) >= ROW_GROUP_ROWS:
            self._flush()

    def _pose(self, face: Face) -> tuple[float | None, ...]:
        return pose_values(face.pose) if self._has_poses else ()

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        self._row_count += len(rows)
        with self._writing() as file:
            file.write_rows(rows)

    @contextmanager
    def _writing(self) -> Iterator[ParquetFile]:
        """Yield the file, and discard it if it cannot be written."""
        if self._file is None:
            raise OutputError(f"cannot write {shown_path(self._path)}: the output is not open")
        try:
            with output_errors(self._path):
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
            self._complete = True
        else:
            self._file.discard()
        self._file = None

    @property
    def written(self) -> tuple[str, ...]:
        """Path and number of rows, for the summary of a run."""
        return (f"{shown_path(self._path)} ({counted(self._row_count, 'row')})",) if self._complete else ()


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
    pa, pq = import_pyarrow()
    metadata = [read_metadata(part) for part in parts]
    tracks = 0
    with output_errors(target), ExitStack() as stack:
        file = ParquetFile(target)
        stack.callback(file.discard)
        batches: list[Any] = []
        for part, values in zip(parts, metadata, strict=True):
            with part.open("rb") as opened, pq.ParquetFile(opened) as rows:
                if part == parts[0]:
                    file.start(rows.schema_arrow.remove_metadata())
                # pyarrow 18 reads no batches from a file without rows.
                for batch in rows.iter_batches(ROW_GROUP_ROWS, use_threads=False) if rows.num_row_groups else ():
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
    _, pq = import_pyarrow()
    with output_errors(path, "read"), path.open("rb") as file:
        metadata = pq.read_metadata(file).metadata or {}
        try:
            return {key: json.loads(metadata[key.encode()]) for key in (HEADER_KEY, SUMMARY_KEY)}
        except KeyError:
            raise OutputError(f"{shown_path(path)} is not a result of edgeinfer") from None


def _face_values(frame: Frame, face: Face) -> tuple[Any, ...]:
    shares = rounded({"": face.emotion.confidence, **face.emotion.probabilities}).values()
    return (face.track_id, *frame.source_box(face.box).xywh, face.emotion.label, *shares)
