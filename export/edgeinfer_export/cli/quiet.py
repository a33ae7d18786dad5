"""TensorFlow, tf2onnx and onnxruntime talk a lot; a command line should say only what its user asked for."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import TextIO


@contextlib.contextmanager
def quiet() -> Iterator[TextIO]:
    """Drop what native libraries, loggers, warnings and prints write, in the whole process, for one block.

    TensorFlow writes some lines straight to file descriptor 2 before any of its switches takes effect, hence
    the redirection of the descriptor itself.

    Yields:
        A stream that still reaches the user's stderr.
    """
    sys.stderr.flush()
    disabled = logging.root.manager.disable
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere, open(kept, "w", buffering=1, closefd=False) as user:  # noqa: PTH123
            os.dup2(nowhere.fileno(), 2)
            logging.disable(logging.CRITICAL)
            with (
                contextlib.redirect_stdout(nowhere),
                contextlib.redirect_stderr(nowhere),
                warnings.catch_warnings(),
            ):
                warnings.simplefilter("ignore")
                yield user
    finally:
        logging.disable(disabled)
        os.dup2(kept, 2)
        os.close(kept)
