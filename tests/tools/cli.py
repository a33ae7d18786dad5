"""The `edgeinfer` command inside the test process, which is much faster than a subprocess."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import typer

from edgeinfer.cli.app import app
from edgeinfer.cli.terminal import execute
from edgeinfer.system.interrupts import remove_signal_handlers

# Typer builds the commands anew for each call, which takes longer than most of the calls.
typer.main.get_command = functools.cache(typer.main.get_command)


@dataclass(frozen=True, slots=True)
class Completed:
    """Outcome of a command.

    Attributes:
        returncode: Exit code.
        stdout: Everything written to file descriptor 1.
        stderr: Everything written to file descriptor 2, including output from native code.
    """

    returncode: int
    stdout: str
    stderr: str


def edgeinfer(*arguments: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> Completed:
    """Run a command in this process and restore the process state that it changes.

    Args:
        arguments: Command line without the program name.
        cwd: Working folder.
        env: Environment variables to add.
    """
    written: list[str] = []
    with process_state(), _captured(written):
        sys.argv = ["edgeinfer", *map(str, arguments)]
        os.environ.update(env or {})
        if cwd is not None:
            os.chdir(cwd)
        code = execute(app, "edgeinfer")
    return Completed(code, *written)


@contextlib.contextmanager
def process_state() -> Iterator[None]:
    """Restore what a command changes in the process: signals, arguments, folder, environment, logging, warnings."""
    handlers = {n: signal.getsignal(n) for n in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}
    arguments, folder, environment = sys.argv, Path.cwd(), dict(os.environ)
    logs, threads, show = logging.root.handlers[:], cv2.getNumThreads(), warnings.showwarning
    logging.root.handlers[:] = []
    try:
        # Warnings are printed by the command, as in a fresh process, not raised as pytest is configured to.
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            yield
    finally:
        remove_signal_handlers()
        warnings.showwarning = show
        logging.root.handlers[:] = logs
        cv2.setNumThreads(threads)
        sys.argv = arguments
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _captured(written: list[str]) -> Iterator[None]:
    """Redirect the file descriptors 1 and 2, and the Python streams above them; append what was written to each."""
    kept, streams = [os.dup(number) for number in (1, 2)], (sys.stdout, sys.stderr)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        for number, file in ((1, out), (2, err)):
            os.dup2(file.fileno(), number)
        sys.stdout, sys.stderr = (os.fdopen(os.dup(n), "w", buffering=1, encoding="utf-8") for n in (1, 2))
        try:
            yield
        finally:
            sys.stdout.close()
            sys.stderr.close()
            sys.stdout, sys.stderr = streams
            for number, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, number)
                os.close(copy)
            for file in (out, err):
                file.seek(0)
                written.append(file.read().decode())


def error_of(done: Completed, code: int) -> str:
    """Check that a command failed with one line on stderr and return that line."""
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("edgeinfer: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    return done.stderr
