"""JSONL output."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from edgeinfer.errors import OutputError
from edgeinfer.outputs.line_writer import FLUSH_S, LineWriter
from edgeinfer.outputs.rotation import Rotation
from edgeinfer.outputs.schema import frame_line, header_line, source_line, summary_line
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import Frame, Result, SourceState


class JsonlSink(AbstractContextManager["JsonlSink"]):
    """One JSON object a line: a header, the frames, a summary (schema 1). Each part of a split file has all three."""

    def __init__(
        self, target: str, *, append: bool = False, rotation: Rotation | None = None, flush_s: float = FLUSH_S
    ) -> None:
        """Open a file, or stdout for "-"; see `open_sink`."""
        self._lines = LineWriter(target, append=append, rotation=rotation, flush_s=flush_s)
        self._header: dict[str, Any] = {}
        self._summary: Callable[[], RunSummary] | None = None
        self._earlier: RunSummary | None = None

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Write the header line, after what is there already if the file is continued."""
        self._header = header_line(header)
        self._lines.start('{"type":"header",')
        self._put(self._header)
        self._summary = summary

    def write(self, frame: Frame, result: Result) -> None:
        """Write one frame's line, in a new part of the file if one is due."""
        if self._lines.due:
            self._split()
        self._put(frame_line(frame, result))

    def source_state(self, state: SourceState) -> None:
        """Write a line for what happened to a live source, between header and summary only."""
        if self._summary is not None:
            self._put(source_line(state))

    def __exit__(self, *_: object) -> None:
        """Write the summary line, also of a run that broke off."""
        try:
            self._finish()
        finally:
            self._lines.close()

    def _split(self) -> None:
        summary = self._summary
        self._finish()
        self._lines.split()
        self._put(self._header)
        self._summary = summary

    def _finish(self) -> None:
        """Write the summary of this part, once."""
        summary, self._summary = self._summary, None
        if summary is not None:
            now = summary()
            self._put(summary_line(now.since(self._earlier) if self._earlier else now))
            self._earlier = now

    def _put(self, value: dict[str, Any]) -> None:
        try:
            self._lines.write(json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n")
        except OutputError:
            self._summary = None
            raise
