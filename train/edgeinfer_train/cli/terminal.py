"""What the commands of training share at the terminal: what they need, what they say, where they write."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edgeinfer.errors import CapabilityError, OutputError
from edgeinfer.system.stderr import silenced


def write_json(values: dict[str, Any], path: Path) -> None:
    """Write an object as JSON.

    Raises:
        OutputError: the file cannot be written.
    """
    with writing(path):
        path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what goes wrong in the block into one sentence.

    Raises:
        OutputError: `path` cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def say(sentence: str) -> None:
    """Tell a person something that is no result."""
    print(f"edgeinfer-train: {sentence}", file=sys.stderr)


@contextlib.contextmanager
def progress_bar(description: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def require(*modules: str) -> None:
    """Import what a command needs, without the chatter of native code.

    Raises:
        CapabilityError: a module is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silenced(native_only=True):
        for module in modules:
            try:
                importlib.import_module(module)
            except ImportError as error:
                missing = error.name or module
                raise CapabilityError(
                    f"this needs {missing}, which is not installed; get it: pip install 'edgeinfer[train]'"
                ) from error
