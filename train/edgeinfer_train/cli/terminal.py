"""Terminal output and import checks that the commands share."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator

from edgeinfer.errors import CapabilityError
from edgeinfer.system.stderr import silenced


def print_notice(message: str) -> None:
    """Print a message to stderr, prefixed with the program's name."""
    print(f"edgeinfer-train: {message}", file=sys.stderr)


@contextlib.contextmanager
def progress_bar(description: str) -> Iterator[Callable[[int, int], None] | None]:
    """Show a progress bar if stderr is a terminal.

    Yields:
        A callback taking (done, total), or None without a terminal.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def require_modules(*modules: str) -> None:
    """Import the modules that a command needs, with native log output suppressed.

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
                    f"this command needs {missing}, which is not installed: run pip install 'edgeinfer[train]'"
                ) from error
