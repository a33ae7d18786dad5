"""Other programs that tests start."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest


def needed(program: str) -> str:
    """Path of a program of Debian's; the test is skipped where it is not installed, or fails if all must be."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if found is None:
        end = pytest.fail if os.environ.get("EDGEINFER_TEST_PROGRAMS") == "all" else pytest.skip
        end(f"{program} is not installed")
    return found


@contextmanager
def running(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A program with text streams that takes SIGHUP and SIGINT, also under nohup and in the background.

    It is killed where the test fails.
    """
    # What is handled here is back at its default in the program; what is ignored would stay so.
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
