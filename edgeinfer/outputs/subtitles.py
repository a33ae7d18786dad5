"""Subtitles: the expressions of the persons in view, for players that show them over the original video."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape
from typing import NamedTuple, Unpack

from edgeinfer.errors import OutputError, UsageError, one_line, shown_path
from edgeinfer.outputs.base import unused_path
from edgeinfer.outputs.cues import Cue, CueBuilder
from edgeinfer.outputs.line_sink import LineOptions, LineSink
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import Frame, Result
from edgeinfer.system.paths import local_path
from edgeinfer.units import counted


class SubtitleFormat(NamedTuple):
    """Notation of a subtitle format.

    Attributes:
        beginning: First line of each file with content.
        header: Text before the first cue.
        decimal: Decimal sign of times.
        quote: Function that quotes a label.
    """

    beginning: str
    header: str
    decimal: str
    quote: Callable[[str], str]


FORMATS = {
    ".srt": SubtitleFormat("1\n", "", ",", str),
    ".vtt": SubtitleFormat("WEBVTT\n", "WEBVTT\n\n", ".", lambda text: escape(text, quote=False)),
}
"""Formats by suffix: SubRip, and WebVTT (https://www.w3.org/TR/webvtt1/)."""


class SubtitleSink(LineSink):
    """Sink that writes subtitles: a cue for each interval in which all persons keep their expressions.

    A cue has a line for each person, such as "#1 happy". Times count from the first frame, as those of players do. A
    cue is written when it has ended; a killed run leaves whole cues. See `CueBuilder` for the rules.

    Attributes:
        written: Path and number of cues, for the summary of a run; empty before the first frame.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import edgeinfer
        >>> from edgeinfer.model.card import asset_path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "faces.srt")
        ...     with edgeinfer.open_source(str(asset_path("demo.mp4"))) as source:
        ...         sinks = [edgeinfer.open_sink(str(path))]
        ...         summary = edgeinfer.run(source, edgeinfer.load_pipeline(), sinks, max_frames=25)
        ...     print(path.read_text().strip())
        1
        00:00:00,000 --> 00:00:01,000
        #1 happy
    """

    _record_end = b"\n\n"

    def __init__(self, target: str, **options: Unpack[LineOptions]) -> None:
        """Validate the arguments; the file is opened by `__enter__`.

        Args:
            target: Path that ends in .srt or .vtt.
            options: As for `JsonlSink`, except that the times of two runs do not fit into one file: with `append`, an
                existing file is kept, and the cues are written to the first unused name of "x-1.srt", "x-2.srt", ...;
                with `rotation` too, the existing file becomes a finished part.

        Raises:
            UsageError: `flush_s` is out of range.
            OutputError: The folder of the file does not exist.
        """
        path = local_path(target, OutputError, expand_home=False)
        self._format = FORMATS[path.suffix.lower()]
        keeps_file = options.get("append") and options.get("rotation") is None and path.is_file()
        self._name = str(unused_path(path)) if keeps_file else target
        super().__init__(self._name, **options)
        self._builder = CueBuilder()
        self._first_s: float | None = None
        self._cues = self._number = 0

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Begin the file.

        Raises:
            UsageError: The frames are unrelated pictures.
            OutputError: An existing file that must be kept has no subtitles.
        """
        if header.has_pictures:
            raise UsageError(
                f"cannot write subtitles of pictures to {shown_path(self._name)}: they need a video; use .jsonl or .csv"
            )
        self._lines.start(self._format.beginning, joins_runs=False)
        self._lines.write(self._format.header)

    def write(self, frame: Frame, result: Result) -> None:
        """Write the cues that have ended, in a new part of the file if one is due.

        Raises:
            OutputError: The cues cannot be written.
        """
        if self._first_s is None:
            self._first_s = result.timestamp_s
        self._lines.commit()
        if self._lines.due:
            self._lines.split()
            self._lines.write(self._format.header)
            self._number = 0
        self._write_cues(self._builder.update(result))

    @property
    def written(self) -> tuple[str, ...]:
        """Path and number of cues."""
        return self._lines.written(counted(self._cues, "cue"))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write the remaining cues and close the file, even after an error."""
        try:
            self._write_cues(self._builder.close())
        finally:
            super().__exit__(kind)

    def _write_cues(self, cues: Iterable[Cue]) -> None:
        for cue in cues:
            start, end = (self._time(time_s) for time_s in (cue.start_s, cue.end_s))
            if start == end:
                continue
            self._cues, self._number = self._cues + 1, self._number + 1
            lines = (f"#{track} {self._quoted(label)}" for track, label in cue.labels.items())
            try:
                self._lines.write("\n".join([str(self._number), f"{start} --> {end}", *lines, "", ""]))
            except OutputError:
                self._builder = CueBuilder()  # discards the remaining cues
                raise

    def _quoted(self, label: str) -> str:
        return self._format.quote(one_line(label).replace("-->", "->"))

    def _time(self, time_s: float) -> str:
        """Return a time as HH:MM:SS with milliseconds, counted from the first frame."""
        seconds, ms = divmod(round(1000 * (time_s - (self._first_s or 0.0))), 1000)
        return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{self._format.decimal}{ms:03}"
