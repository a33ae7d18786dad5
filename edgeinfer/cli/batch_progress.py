"""Progress display and final table of a batch."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from edgeinfer.errors import one_line, shown_path
from edgeinfer.units import counted

if TYPE_CHECKING:
    from edgeinfer.batch.engine import BatchSummary
    from edgeinfer.batch.progress import BatchProgress

LINE_S = 30.0
"""Interval of the lines on stderr if it is not a terminal, in seconds."""
MAX_SHOWN = 8
"""Maximum number of files in progress that the display names."""
_REASON_CHARACTERS = 200
_MINUTE_S, _HOUR_S = 60, 3600


class BatchDisplay:
    """Live display on a terminal; otherwise one line on stderr every 30 s."""

    def __init__(self, *, enabled: bool, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Create the display.

        Args:
            enabled: False for `--quiet`.
            clock_s: Function that returns the time in seconds.
        """
        self._enabled, self._clock_s = enabled, clock_s
        self._live: Any = None
        self._next_line_s = 0.0

    def __enter__(self) -> Self:
        """Start the display."""
        self._next_line_s = self._clock_s() + LINE_S
        if self._enabled and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), transient=True, refresh_per_second=4)
            self._live.start()
        return self

    def update(self, progress: BatchProgress) -> None:
        """Show the progress."""
        if self._live is not None:
            self._live.update(_panel(progress))
        elif self._enabled and (now_s := self._clock_s()) >= self._next_line_s:
            self._next_line_s = now_s + LINE_S
            print(f"edgeinfer: {format_progress(progress)}", file=sys.stderr, flush=True)

    def __exit__(self, *_: object) -> None:
        """Remove the live display."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def format_progress(progress: BatchProgress) -> str:
    """Return the counts, speed, remaining time and files in progress in one line."""
    line = _status(progress)
    running = ", ".join(map(shown_path, progress.running[:MAX_SHOWN]))
    return f"{line}; in progress: {running}" if running else line


def format_batch_summary(summary: BatchSummary, folder: str) -> str:
    """Return the final table of a batch: sources, faces, tracks, time, speed, the first failures and the results.

    Args:
        summary: Result of the batch.
        folder: Output folder, as given.
    """
    unchanged = f", {summary.unchanged} unchanged" if summary.unchanged else ""
    done = summary.done - summary.unchanged
    rows = [
        ("sources", f"{summary.total}: {done} done, {summary.failed} failed{unchanged}"),
        ("frames", str(summary.frames)),
        ("faces", f"{summary.faces}, {counted(summary.tracks, 'track')} in videos"),
        ("time", format_seconds(summary.elapsed_s)),
        *([("speed", _speed(summary))] if summary.frames and summary.elapsed_s > 0 else []),
        *(("failed", _failure(path, reason)) for path, reason in summary.failures),
    ]
    if more := summary.failed - len(summary.failures):
        rows.append(("", f"and {more} more"))
    rows.append(("results", f"{shown_path(folder)}, with one row per source in batch.csv"))
    return "\n".join(f"{name:<8} {text}" for name, text in rows)


def format_seconds(duration_s: float) -> str:
    """Return a duration in its two largest units.

    >>> format_seconds(4.213), format_seconds(200), format_seconds(7500)
    ('4.21 s', '3 min 20 s', '2 h 5 min')
    """
    if duration_s < _MINUTE_S:
        return f"{duration_s:.3g} s" if duration_s >= 0.01 else "less than 0.01 s"
    whole = round(duration_s)
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S} s"
    return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S} min"


def _status(progress: BatchProgress) -> str:
    failed = f", {progress.failed} failed" if progress.failed else ""
    left = "time left unknown" if progress.eta_s is None else f"about {format_seconds(round(progress.eta_s))} left"
    return f"{progress.done} of {progress.total} done{failed}, {progress.fps:.1f} frames/s, {left}"


def _speed(summary: BatchSummary) -> str:
    fps = f"{summary.frames / summary.elapsed_s:.1f} frames/s"
    if not summary.duration_s:
        return fps
    return f"{fps}, {summary.duration_s / summary.elapsed_s:.1f} times real time"


def _failure(path: str, reason: str) -> str:
    shown = one_line(reason)
    short = shown if len(shown) <= _REASON_CHARACTERS else f"{shown[: _REASON_CHARACTERS - 3]}..."
    return f"{shown_path(path)}: {short}"


def _panel(progress: BatchProgress) -> Any:
    """Return the live display: a bar, the counts, speed and remaining time, and a line for each file in progress."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    bar = Table.grid()  # ends the line of the bar
    bar.add_row(ProgressBar(total=max(1, progress.total), completed=progress.done + progress.failed, width=60))
    lines = [_status(progress), *(f"  {shown_path(path)}" for path in progress.running[:MAX_SHOWN])]
    if len(progress.running) > MAX_SHOWN:
        lines.append(f"  and {len(progress.running) - MAX_SHOWN} more")
    return Group(bar, *(Text(line, overflow="ellipsis", no_wrap=True) for line in lines))
