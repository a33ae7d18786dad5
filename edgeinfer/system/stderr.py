"""Suppression of output that libraries write to stderr."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import TextIO


@contextlib.contextmanager
def silenced(*, native_only: bool = False) -> Iterator[TextIO]:
    """Discard output to stderr for the duration of a block, in the whole process.

    Native libraries write to file descriptor 2 directly, and TensorFlow does so before its log level takes effect.
    Therefore the descriptor itself is redirected.

    Args:
        native_only: Redirect the file descriptor only. Otherwise, log records, warnings and everything printed to
            stdout or stderr are discarded as well.

    Yields:
        A line-buffered stream that still writes to the original stderr.
    """
    with contextlib.ExitStack() as stack:
        devnull = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123 - a device
        original = stack.enter_context(_redirected_descriptor(devnull))
        if not native_only:
            stack.enter_context(_python_output_discarded(devnull))
        yield original


@contextlib.contextmanager
def _redirected_descriptor(target: TextIO) -> Iterator[TextIO]:
    try:
        kept = os.dup(2)
    except OSError:  # file descriptor 2 is closed
        yield target
        return
    _flush_stderr()
    try:
        with open(kept, "w", buffering=1, encoding="utf-8", closefd=False) as original:
            os.dup2(target.fileno(), 2)
            try:
                yield original
            finally:
                _flush_stderr()
                os.dup2(kept, 2)
    finally:
        os.close(kept)


@contextlib.contextmanager
def _python_output_discarded(target: TextIO) -> Iterator[None]:
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            contextlib.redirect_stdout(target),
            contextlib.redirect_stderr(target),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _flush_stderr() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()
