"""Other programs that tests start."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def running(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A program with text streams that takes SIGHUP, also under nohup, and is killed where the test fails."""
    # What is handled here is back at its default in the program; what is ignored would stay so.
    before = signal.signal(signal.SIGHUP, lambda *_: None)
    try:
        process = subprocess.Popen(command, text=True, **options)
    finally:
        signal.signal(signal.SIGHUP, before or signal.SIG_DFL)
    with process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise
