"""Where results go: the role of an output, JSONL and CSV."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgeinfer.errors import UsageError
from edgeinfer.outputs.anonymous import AnonymousCsvSink, AnonymousJsonlSink
from edgeinfer.outputs.base import Sink
from edgeinfer.outputs.csv import CsvSink
from edgeinfer.outputs.jsonl import JsonlSink
from edgeinfer.outputs.line_writer import FLUSH_S, STDOUT
from edgeinfer.outputs.rotation import Rotation
from edgeinfer.plugins import plugin, plugin_names
from edgeinfer.url import scheme

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


ANONYMOUS: dict[str, Callable[..., JsonlSink | CsvSink]] = {".jsonl": AnonymousJsonlSink, ".csv": AnonymousCsvSink}
