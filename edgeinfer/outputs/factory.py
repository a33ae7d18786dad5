"""Where results go: the role of an output, JSONL and CSV."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from edgeinfer.errors import OutputError, UsageError
from edgeinfer.lines import FLUSH_S, STDOUT, Lines
from edgeinfer.patience import SourceState
from edgeinfer.plugins import plugin, plugin_names, scheme
from edgeinfer.records import RunHeader, RunSummary, frame_line, header_line, rounded, source_line, summary_line
from edgeinfer.results import Face, Result
from edgeinfer.rotation import Rotation
from edgeinfer.sources import Frame


class Stopped(Exception):  # noqa: N818 - a wish, not an error
    """Somebody closed the window: the run ends as if the source had."""


class Sink(Protocol):
    """The role of whatever takes results. A context manager, entered before `start`."""

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """The run begins; `summary` may be called when the sink is closed."""

    def write(self, frame: Frame, result: Result) -> None:
        """One frame."""

    def __enter__(self) -> Any: ...
    def __exit__(self, *_: Any) -> bool | None: ...


@runtime_checkable
class StateListener(Protocol):
    """The role of a sink that is told how a live source fares."""

    def source_state(self, state: SourceState) -> None:
        """The source is connecting, live, stalled or lost."""


class JsonlSink(AbstractContextManager["JsonlSink"]):
    """One JSON object a line: a header, the frames, a summary (schema 1). Each part of a split file has all three."""

    def __init__(
        self, target: str, *, append: bool = False, rotation: Rotation | None = None, flush_s: float = FLUSH_S
    ) -> None:
        """Open a file, or stdout for "-"; see `open_sink`."""
        self._lines = Lines(target, append=append, rotation=rotation, flush_s=flush_s)
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


class CsvSink(AbstractContextManager["CsvSink"]):
    """One row a face: frame, time_s, track, x, y, w, h, label, confidence and a probability for each label."""

    def __init__(
        self, target: str, *, append: bool = False, rotation: Rotation | None = None, flush_s: float = FLUSH_S
    ) -> None:
        """Open a file; see `open_sink`."""
        self._lines = Lines(target, append=append, rotation=rotation, flush_s=flush_s)
        self._columns = ""

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Write the row of column names, unless a file is continued that has it."""
        self._begin(csv_row("frame", "time_s", "track", "x", "y", "w", "h", "label", "confidence", *header.labels))

    def write(self, frame: Frame, result: Result) -> None:
        """Write a row for each face, in a new part of the file if one is due."""
        self._add("".join(_face_row(frame, face) for face in result.faces))

    def _begin(self, columns: str) -> None:
        self._columns = columns
        if not self._lines.start(columns):
            self._lines.write(columns)

    def _add(self, rows: str) -> None:
        if self._lines.due:
            self._lines.split()
            self._lines.write(self._columns)
        self._lines.write(rows)

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._lines.close()


def _face_row(frame: Frame, face: Face) -> str:
    shares = rounded({"": face.emotion.confidence, **face.emotion.probabilities}).values()
    return csv_row(frame.index, round(frame.timestamp_s, 4), face.track_id, *face.box.xywh, face.emotion.label, *shares)


def csv_row(*values: object) -> str:
    """A line of CSV."""
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()


SINKS: dict[str, Callable[..., Sink]] = {".jsonl": JsonlSink, ".csv": CsvSink}


def open_sink(
    target: str,
    *,
    append: bool = False,
    rotation: Rotation | None = None,
    flush_s: float = FLUSH_S,
    anonymous: bool = False,
) -> Sink:
    """Open an output by its suffix; "-" is JSONL on stdout.

    Args:
        target: a path that ends in .jsonl or .csv, or "-"; or what another package writes, see `edgeinfer.plugins`,
            which takes none of the options.
        append: continue an older file instead of emptying it; a part of a line at its end is cut off first.
        rotation: when to split a file, and how many parts to keep; stdout, pipes and devices are never split.
        flush_s: how long a line for a file may wait for others, in seconds, 0..3600; at most so much is lost when the
            process is killed. All else gets every line at once.
        anonymous: write counts by the minute, and nothing of any single face.

    Raises:
        UsageError: no output has this suffix, it cannot be anonymous, or flush_s is out of range.
        OutputError: it cannot be written.
    """
    kind = check_target(target)
    if anonymous:
        from edgeinfer.counts import ANONYMOUS  # noqa: PLC0415 - builds on these sinks

        if kind not in ANONYMOUS:
            raise UsageError(f"{target} cannot be anonymous; write {' or '.join(ANONYMOUS)}")
        return ANONYMOUS[kind](target, append=append, rotation=rotation, flush_s=flush_s)
    if kind in SINKS:
        return SINKS[kind](target, append=append, rotation=rotation, flush_s=flush_s)
    brought: Sink = plugin("sinks", kind)(target)
    return brought


def check_target(target: str) -> str:
    """The suffix that decides an output's format, or the name under which another package brings it.

    Nothing is opened yet.

    Raises:
        UsageError: nobody writes such an output.
    """
    suffix = ".jsonl" if target == STDOUT else Path(target).suffix.lower()
    if suffix in SINKS:
        return suffix
    name, brought = scheme(target) or suffix.removeprefix("."), plugin_names("sinks")
    if name not in brought:
        known = " or ".join((*SINKS, *brought))
        raise UsageError(f"cannot tell the format of {target}; an output ends in {known}, or is '-'")
    return name


def check_writable(path: Path) -> None:
    """Refuse what could not be written later, before any work is done.

    Raises:
        OutputError: its folder does not exist or cannot be written, or it is a folder.
    """
    folder = path.resolve().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK) or path.is_dir():
        raise OutputError(f"cannot write {path}; does its folder exist, and may you write there?")
