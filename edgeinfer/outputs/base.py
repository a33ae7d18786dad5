"""Roles of outputs: result sinks, and listeners to source states and face events."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from edgeinfer.errors import OutputError
from edgeinfer.outputs.events import Event
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import Frame, Result, SourceState


class Stopped(Exception):  # noqa: N818 - a request, not an error
    """Raised by `Sink.write` to end the run as if the source had ended, for example when the window is closed."""


class Sink(Protocol):
    """Role of an output of results.

    A context manager: the constructor validates its arguments, `__enter__` acquires the resources, `__exit__` releases
    them. `edgeinfer.run` enters all sinks, then calls `start` once and `write` for each frame. Two optional parts are
    read if present: the methods of `StateListener` and `EventListener`, and a bool attribute `closes_last`, True if the
    sink has to close after those without it, because it writes the summary of the run.
    """

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Begin a run.

        Args:
            header: source, model and versions of the run.
            summary: returns the summary of the run so far; may be called from any thread, and while the sink closes.
        """

    def write(self, frame: Frame, result: Result) -> None:
        """Write one frame and its result."""

    def __enter__(self) -> Any: ...
    def __exit__(self, *_: Any) -> bool | None: ...


@runtime_checkable
class StateListener(Protocol):
    """Role of a sink that handles the states of a live source."""

    def source_state(self, state: SourceState) -> None:
        """Handle a state change: connecting, live, stalled or lost."""


@runtime_checkable
class EventListener(Protocol):
    """Role of a sink that handles face events: a face appeared, changed its expression, or left."""

    def handle_events(self, events: Sequence[Event], frame: Frame | None, result: Result | None) -> None:
        """Handle the events of one frame, before its `Sink.write`.

        Args:
            events: at least one, in order of time.
            frame: the frame, or None at the end of a run.
            result: the result of the frame, or None at the end of a run.
        """


def check_writable(path: Path) -> None:
    """Validate that a file can be created or replaced, before any work is done.

    Raises:
        OutputError: the folder does not exist or is not writable, or `path` is itself a folder.
    """
    folder = path.resolve().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK) or path.is_dir():
        raise OutputError(f"cannot write {path}; does its folder exist, and may you write there?")
