"""Execution of a command line: signals, logging, exit codes and one-line error messages."""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import typer

from edgeinfer.cli.masking import masked
from edgeinfer.errors import EdgeInferError, OutputError, one_line
from edgeinfer.system.interrupts import Interrupted, install_signal_handlers, raise_in_main_thread
from edgeinfer.system.streams import checked_streams, open_standard_streams


def execute(application: Callable[[], None], name: str, *, guarded: bool = True) -> int:
    """Run a command line and turn expected errors into one sentence and an exit code.

    Args:
        application: Typer application, which raises SystemExit.
        name: Program name, printed before each sentence.
        guarded: True if the program's loops call `interrupts.check`; otherwise signal handlers raise an exception.

    Returns:
        Exit code.
    """
    open_standard_streams()
    if guarded:
        install_signal_handlers(name)
    else:
        raise_in_main_thread()
    _silence_opencv()
    _print_logs(application, name)
    with checked_streams():
        code, sentence = _run(application)
        try:
            sys.stdout.flush()
        except OutputError as error:
            code, sentence = (code, sentence) if code else (error.exit_code, str(error))
        if sentence:
            print(f"{name}: {one_line(masked(sentence))}", file=sys.stderr)
    return code


def _run(application: Callable[[], None]) -> tuple[int, str]:
    """Return the exit code of a command line, and the sentence to print, which may be empty."""
    try:
        application()
    except EdgeInferError as error:
        return error.exit_code, _name_flags_of(application, str(error))
    except Interrupted as interruption:
        return interruption.exit_code, f"interrupted; {interruption.outcome}"
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1, ""
    except Exception as error:
        return 1, f"unexpected {type(error).__name__}: {error}"
    return 0, ""


def name_flags(message: str, command: Any) -> str:
    """Replace the option names in backticks of a library message with the flags of a command or its subcommands."""
    flags = dict(_flags(command))
    return re.sub(r"`(\w+)`", lambda found: flags.get(found[1], found[0]), message)


def _name_flags_of(application: Callable[[], None], message: str) -> str:
    if "`" not in message or not isinstance(application, typer.Typer):
        return message
    return name_flags(message, typer.main.get_command(application))


def _flags(command: Any) -> Iterator[tuple[str, str]]:
    """Yield the parameter name and the flag of every option of a command and its subcommands."""
    for parameter in command.params:
        yield from ((parameter.name, flag) for flag in parameter.opts[:1] if flag.startswith("--"))
    for subcommand in getattr(command, "commands", {}).values():
        yield from _flags(subcommand)


def _silence_opencv() -> None:
    """Suppress messages from OpenCV and FFmpeg, whose failures this program reports itself."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    cv2 = sys.modules.get("cv2")
    logs = getattr(getattr(cv2, "utils", None), "logging", cv2)  # before OpenCV 4.13, the function is in cv2 itself
    if logs is not None:
        logs.setLogLevel(0)  # LOG_LEVEL_SILENT


class _StderrHandler(logging.Handler):
    """Log handler that writes records to the current `sys.stderr`."""

    def emit(self, record: logging.LogRecord) -> None:
        print(one_line(masked(self.format(record))), file=sys.stderr)


def _print_logs(application: Callable[[], None], name: str) -> None:
    """Print warnings, the preview address and duty cycle changes to stderr, prefixed with the program name."""

    def show(message: Warning | str, *_args: object, **_kwargs: object) -> None:
        text = _name_flags_of(application, str(message))
        print(f"{name}: warning: {one_line(masked(text))}", file=sys.stderr)

    warnings.showwarning = show
    handler = _StderrHandler()
    handler.setFormatter(logging.Formatter(f"{name}: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    for module in ("edgeinfer.outputs.preview", "edgeinfer.system.thermal"):
        logging.getLogger(module).setLevel(logging.INFO)
