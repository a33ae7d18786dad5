"""Progress bar and final summary of a run on a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from edgeinfer.errors import one_line
from edgeinfer.units import counted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgeinfer.outputs.summary import RunSummary
    from edgeinfer.results import Frame, Result
    from edgeinfer.sources.base import Source


class ProgressBar:
    """Progress bar on stderr, shown only on a terminal."""

    def __init__(self, source: Source, max_frames: int | None, *, enabled: bool) -> None:
        self._bar = None
        if enabled and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[faces]} faces"),
            )
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            counts = [n for n in (source.frame_count, max_frames) if n is not None]
            self._task = self._bar.add_task("reading", total=min(counts, default=None), faces=0)
            self._faces = 0

    def __enter__(self) -> ProgressBar:
        if self._bar:
            self._bar.start()
        return self

    def advance(self, frame: Frame, result: Result) -> None:
        """Advance the bar by one frame."""
        if self._bar:
            self._faces += len(result.faces)
            self._bar.update(self._task, completed=frame.index + 1, faces=self._faces)

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()


def format_summary(summary: RunSummary, results: Iterable[str] = (), *, pictures: bool = False) -> str:
    """Format the summary of a run in two or three lines, followed by one line per result.

    Args:
        summary: Summary of the run.
        results: Path and content of each result; see `ResultWriter`.
        pictures: True if the source consisted of pictures rather than consecutive frames.
    """
    shares = sorted(summary.labels.items(), key=lambda item: -item[1])
    seen = ", ".join(f"{one_line(label)} {count / summary.faces:.0%}" for label, count in shares) or "no face found"
    lines = [
        f"{counted(summary.frames, 'frame')}, {counted(summary.faces, 'face')}, {summary.fps:.1f} frames/s",
        f"dominant expression: {one_line(summary.dominant or 'none')} ({seen})",
    ]
    if pictures:
        lines.append(f"{counted(summary.frames, 'picture')} read, {summary.skipped or 0} skipped")
    if summary.delay_ms:
        delay = " and ".join(f"{value:.0f} ms ({name})" for name, value in summary.delay_ms.items())
        lines.append(f"live: {delay} from capture to result, {counted(summary.dropped or 0, 'frame')} dropped")
    return "\n".join([*lines, *(f"wrote {one_line(result)}" for result in results)])
