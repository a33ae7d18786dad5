"""Selection of a sink by the name of its target."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeinfer.errors import UsageError
from edgeinfer.outputs.anonymous import AnonymousCsvSink, AnonymousJsonlSink
from edgeinfer.outputs.base import Sink
from edgeinfer.outputs.csv import CsvSink
from edgeinfer.outputs.jsonl import JsonlSink
from edgeinfer.outputs.line_writer import FLUSH_S, STDOUT
from edgeinfer.outputs.parquet import ParquetSink
from edgeinfer.outputs.rotation import Rotation
from edgeinfer.outputs.subtitles import FORMATS as SUBTITLE_FORMATS
from edgeinfer.outputs.subtitles import SubtitleSink
from edgeinfer.plugins import plugin, plugin_names
from edgeinfer.url import scheme, without_credentials


def _parquet_sink(
    target: str, *, append: bool, rotation: Rotation | None, flush_s: float, **options: Any
) -> ParquetSink:
    """Create a Parquet sink; a Parquet file cannot be extended, and is written at the end of the run."""
    if append or rotation is not None:
        option = "`append`" if append else "`split_size` and `split_every`"
        raise UsageError(f"a .parquet output excludes {option}; rename {without_credentials(target)} to .jsonl or .csv")
    return ParquetSink(target, **options)


def _anonymous_sink(kind: str, target: str, *, empty_frames: bool, **options: Any) -> Sink:
    """Create a sink that writes per-minute aggregates."""
    if kind not in ANONYMOUS_SINKS:
        supported = " and ".join(ANONYMOUS_SINKS)
        raise UsageError(f"`anonymous` supports only {supported} outputs; rename {without_credentials(target)}")
    if empty_frames:
        raise UsageError("`anonymous` writes no rows for frames; remove `empty_frames`")
    return ANONYMOUS_SINKS[kind](target, **options)


SINKS: dict[str, Callable[..., Sink]] = {
    ".jsonl": JsonlSink,
    ".csv": CsvSink,
    ".parquet": _parquet_sink,
    **dict.fromkeys(SUBTITLE_FORMATS, SubtitleSink),
}
TABLES = (".csv", ".parquet")
"""Formats with rows for faces, to which `empty_frames` applies."""
ANONYMOUS_SINKS: dict[str, Callable[..., Sink]] = {".jsonl": AnonymousJsonlSink, ".csv": AnonymousCsvSink}


def open_sink(
    target: str,
    *,
    append: bool = False,
    rotation: Rotation | None = None,
    flush_s: float = FLUSH_S,
    anonymous: bool = False,
    empty_frames: bool = False,
    no_overwrite: bool = False,
) -> Sink:
    """Create a sink for a file, stdout or a plugin; entering the sink opens its target.

    Args:
        target: Path that ends in .jsonl, .csv, .parquet, .srt or .vtt; "-" for JSONL on stdout; or a target of a plugin
            (see `edgeinfer.plugins`), which receives none of the options.
        append: Append to an existing file instead of replacing it. An incomplete line at its end is removed. Subtitles
            are written to a new file.
        rotation: Rules for splitting a file, or None; stdout, pipes and devices are never split.
        flush_s: Longest time that a line for a file stays in the buffer, in seconds, 0..3600; a killed process loses
            at most this much. Other outputs receive each line immediately.
        anonymous: Write per-minute aggregates instead of data about single faces.
        empty_frames: Write a row of CSV or Parquet for each frame without faces too. JSONL contains all frames.
        no_overwrite: Refuse an existing file.

    Returns:
        A context manager with `start` and `write`. `edgeinfer.run` enters and closes it.

    Raises:
        UsageError: The format is unknown, it has no anonymous variant, `flush_s` is out of range, or two options
            exclude each other.
        OutputError: The folder of the file does not exist.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import edgeinfer
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "faces.csv")
        ...     with edgeinfer.open_sink(str(path)) as sink:
        ...         header = edgeinfer.RunHeader("camera", None, edgeinfer.LABELS, "", "", {})
        ...         sink.start(header, lambda: edgeinfer.RunSummary(0, 0, {}, 0.0, {}))
        ...     path.read_text()[:19]
        'frame,time_s,track,'
    """
    kind = check_target(target)
    if append and no_overwrite:
        raise UsageError("`append` and `no_overwrite` exclude each other; remove one of them")
    options: dict[str, Any] = {
        "append": append, "rotation": rotation, "flush_s": flush_s, "no_overwrite": no_overwrite,
    }  # fmt: skip
    if anonymous:
        return _anonymous_sink(kind, target, empty_frames=empty_frames, **options)
    if kind in SINKS:
        return SINKS[kind](target, **options, **({"empty_frames": empty_frames} if kind in TABLES else {}))
    sink: Sink = plugin("sinks", kind)(target)
    return sink


def check_target(target: str) -> str:
    """Return the format of a target: a suffix such as ".csv", or the name of a plugin. Nothing is opened.

    Raises:
        UsageError: No built-in format and no plugin matches.
    """
    suffix = ".jsonl" if target == STDOUT else Path(target).suffix.lower()
    if suffix in SINKS:
        return suffix
    name, plugins = scheme(target) or suffix.removeprefix("."), plugin_names("sinks")
    if name not in plugins:
        known = ", ".join((*SINKS, *plugins))
        raise UsageError(
            f"unknown output format of {without_credentials(target)}: expected a name that ends in {known}, or - for "
            "stdout"
        )
    return name
