"""Roles of result sinks and state listeners."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from edgeinfer.errors import OutputError
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import Frame, Result, SourceState


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


def check_writable(path: Path) -> None:
    """Refuse what could not be written later, before any work is done.

    Raises:
        OutputError: its folder does not exist or cannot be written, or it is a folder.
    """
    folder = path.resolve().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK) or path.is_dir():
        raise OutputError(f"cannot write {path}; does its folder exist, and may you write there?")
