"""Native libraries that write to file descriptor 2 whatever anybody says."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def suppressed_native_stderr() -> Iterator[None]:
    """Drop what is written to file descriptor 2 by anybody in this process, for one block."""
    try:
        before = os.dup(2)
    except OSError:  # there is none
        yield
        return
    sys.stderr.flush()
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device
            os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(before, 2)
    finally:
        os.close(before)
