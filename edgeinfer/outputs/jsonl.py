"""JSONL output."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from edgeinfer.errors import OutputError
from edgeinfer.outputs.line_sink import LineSink
from edgeinfer.outputs.schema import SCHEMA, header_line, source_line, summary_line
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import Frame, Result, SourceState
from edgeinfer.units import counted


class JsonlSink(LineSink):
    """Sink that writes one JSON object per line: a header, the frames and a summary (schema 1).

    Each part of a split file has all three. An existing file keeps its content until the first frame is written.

    Attributes:
        closes_last: True; the summary includes the time in which the other sinks close.
        written: Path and number of frames, for the summary of a run; empty before the first frame, and for stdout.

    Examples:
        >>> import json, tempfile
        >>> from pathlib import Path
        >>> import edgeinfer
        >>> from edgeinfer.model.card import asset_path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "faces.jsonl")
        ...     with edgeinfer.open_source(str(asset_path("demo.mp4"))) as source:
        ...         summary = edgeinfer.run(
        ...             source, edgeinfer.load_pipeline(), [edgeinfer.JsonlSink(str(path))], max_frames=2
        ...         )
        ...     [json.loads(line)["type"] for line in path.read_text().splitlines()]
        ['header', 'frame', 'frame', 'summary']
    """

    closes_last = True
    _frames = 0
    _header: dict[str, Any]
    _summary: Callable[[], RunSummary] | None = None
    _previous: RunSummary | None = None

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Write the header line.

        Args:
            header: Source, model and versions of the run.
            summary: Function that returns the summary of the run so far.

        Raises:
            OutputError: The run cannot append to an existing file.
        """
        self._header = header_line(header)
        self._lines.start(f'{{"type":"header","schema":{SCHEMA},', _is_header)
        self._write_line(self._header)
        self._summary = summary

    def write(self, frame: Frame, result: Result) -> None:
        """Write the line of a frame, in a new part of the file if one is due.

        Raises:
            OutputError: The line cannot be written.
        """
        self._lines.commit()
        if self._lines.due:
            self._split()
        self._write_line(result.to_dict(frame))
        self._frames += 1

    @property
    def written(self) -> tuple[str, ...]:
        """Path and number of frames."""
        return self._lines.written(counted(self._frames, "frame"))

    def source_state(self, state: SourceState) -> None:
        """Write the state of a live source; states before `start` are ignored."""
        if self._summary is not None:
            self._write_line(source_line(state))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write the summary line and close the file, even after an error."""
        try:
            self._finish()
        finally:
            super().__exit__(kind)

    def _split(self) -> None:
        summary = self._summary
        self._finish()
        self._lines.split()
        self._write_line(self._header)
        self._summary = summary

    def _finish(self) -> None:
        """Write the summary of the current part, once."""
        summary, self._summary = self._summary, None
        if summary is not None:
            total = summary()
            self._write_line(summary_line(total.since(self._previous) if self._previous else total))
            self._previous = total

    def _write_line(self, value: dict[str, Any]) -> None:
        try:
            self._lines.write(json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n")
        except OutputError:
            self._summary = None
            raise


def _is_header(line: bytes) -> bool:
    """Return True for a complete header line of any run."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(value.get("model"), dict) and "source" in value
