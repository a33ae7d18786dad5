"""External programs and subprocesses of tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest


def require_program(program: str) -> str:
    """Return the path of a Debian program; skip the test without it, or fail if EDGEINFER_TEST_PROGRAMS is "all"."""
    path = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if path is None:
        stop = pytest.fail if os.environ.get("EDGEINFER_TEST_PROGRAMS") == "all" else pytest.skip
        stop(f"{program} is not installed")
    return path


@contextmanager
def running(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a subprocess with text streams that receives SIGHUP and SIGINT, and kill it if the test fails.

    Both signals are delivered even if the test run ignores them, as under nohup or in the background.
    """
    # A handled signal is reset to its default in the subprocess; an ignored one would stay ignored.
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGHUP, signal.SIGINT)}
    try:
        process = subprocess.Popen(command, text=True, **options)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
    with process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise
