"""Roles of outputs: result sinks, and listeners for source states and face events."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from edgeinfer.errors import OutputError
from edgeinfer.outputs.events import Event
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import Frame, Result, SourceState
from edgeinfer.system.paths import local_path


class Stopped(Exception):  # noqa: N818 - a request, not an error
    """Raised by `Sink.write` to end the run as if the source had ended, for example when the window is closed."""


class Sink(Protocol):
    """Role of an output of results.

    A sink is a context manager: the constructor validates its arguments, `__enter__` acquires the resources and
    `__exit__` releases them. `edgeinfer.run` enters all sinks, calls `start` once and `write` for each frame.

    A sink can also have these members:

    - `source_state`: method that receives the states of a live source; see `StateListener`.
    - `handle_events`: method that receives face events; see `EventListener`.
    - `closes_last`: bool, True if the sink closes after the others, because it writes the summary of the run.
    - `written`: results of a closed sink, for the summary of the command line; see `ResultWriter`.
    - `after_run`: method that the command line calls after the summary; see `AfterRun`.

    Examples:
        >>> import edgeinfer
        >>> from edgeinfer.model.card import asset_path
        >>> class FaceCount:
        ...     def __enter__(self):
        ...         self.count = 0
        ...     def start(self, header, summary):
        ...         pass
        ...     def write(self, frame, result):
        ...         self.count += len(result.faces)
        ...     def __exit__(self, *_):
        ...         print(f"{self.count} faces")
        >>> with edgeinfer.open_source(str(asset_path("demo.mp4"))) as source:
        ...     summary = edgeinfer.run(source, edgeinfer.load_pipeline(), [FaceCount()], max_frames=2)
        2 faces
    """

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Begin a run.

        Args:
            header: Source, model and versions of the run.
            summary: Function that returns the summary of the run so far, callable from any thread and while closing.
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
            events: At least one, in order of time.
            frame: The frame, or None at the end of a run.
            result: The result of the frame, or None at the end of a run.
        """


@runtime_checkable
class ResultWriter(Protocol):
    """Role of a sink that writes files."""

    @property
    def written(self) -> tuple[str, ...]:
        """Path and content of each result, such as "faces.csv (4 rows)", on one line each; for a closed sink."""


@runtime_checkable
class AfterRun(Protocol):
    """Role of a sink that works on after the end of the source, until the program is interrupted."""

    def after_run(self) -> None:
        """Continue after the run and its summary; return at once if there is nothing to do.

        Raises:
            Interrupted: The program received SIGINT or SIGTERM.
        """


def check_writable(path: Path) -> None:
    """Validate that a file can be created or replaced, before any work is done.

    Raises:
        OutputError: The folder does not exist or is not writable, or `path` is itself a folder.
    """
    path = local_path(path, OutputError, expand_home=False)
    folder = path.resolve().parent
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder; add a file name")
    if not folder.is_dir():
        raise OutputError(f"cannot write {path}: the folder {folder} does not exist; create it first")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"cannot write {path}: the folder {folder} is not writable; choose another one")


def unused_path(path: Path) -> Path:
    """Return the path, with a number appended to its stem if it exists."""
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in count(1))
    return path if not path.exists() else next(name for name in numbered if not name.exists())
