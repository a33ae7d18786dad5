"""Command-line entry point: exit codes and one-line error messages."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import cv2

from edgeinfer.errors import EdgeInferError, one_line
from edgeinfer.system.interrupts import Interrupted, install_signal_handlers

if TYPE_CHECKING:
    pass


def execute(application: Callable[[], None], name: str) -> int:
    """Run a command line; turn expected errors into one sentence and an exit code.

    Args:
        application: a typer application; it ends in SystemExit.
        name: of the program, before the sentence.

    Returns:
        The exit code.
    """
    install_signal_handlers()
    # What OpenCV and FFmpeg have to say comes as one of our own sentences.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    warnings.showwarning = lambda message, *_args, **_kwargs: print(f"{name}: warning: {message}", file=sys.stderr)
    if logging.lastResort:
        logging.lastResort.setFormatter(logging.Formatter(f"{name}: %(message)s"))
    try:
        application()
    except EdgeInferError as error:
        print(f"{name}: {one_line(str(error))}", file=sys.stderr)
        return error.exit_code
    except Interrupted as interruption:
        print(f"{name}: interrupted; every output is closed", file=sys.stderr)
        return interruption.exit_code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except Exception as error:
        print(f"{name}: unexpected {type(error).__name__}: {one_line(str(error))}", file=sys.stderr)
        return 1
    return 0
