"""The `edgeinfer` command."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import ClassVar, NoReturn

import typer

from edgeinfer.cli.lazy import LazyGroup
from edgeinfer.cli.terminal import execute
from edgeinfer.cli.version import version_option


class _Commands(LazyGroup):
    entries: ClassVar[Mapping[str, tuple[str, str]]] = {
        "run": ("edgeinfer.cli.run", "Process a source and write the expressions of its faces."),
        "batch": (
            "edgeinfer.cli.batch",
            "Process many recordings; a second call continues where the first one ended.",
        ),
        "report": (
            "edgeinfer.cli.report",
            "Write an HTML report about results, and a summary as CSV.",
        ),
        "bench": ("edgeinfer.cli.inspect", "Measure the speed and memory of a run on this machine."),
        "models": ("edgeinfer.cli.inspect", "List the bundled models, or print the card of one model."),
        "devices": ("edgeinfer.cli.inspect", "List the cameras with their formats, sizes and frame rates."),
        "doctor": ("edgeinfer.cli.inspect", "Check this installation and suggest a remedy for each problem."),
        "notice": ("edgeinfer.cli.inspect", "Print a notice for the people in view."),
        "config": (
            "edgeinfer.cli.config",
            "Show or check the settings of `run` and `batch` from files and the environment.",
        ),
        "service": (
            "edgeinfer.cli.service",
            "Install, remove or inspect the systemd service that starts a run at boot.",
        ),
    }


app = typer.Typer(
    cls=_Commands,
    help="Recognizes perceived facial expressions in video, live, on small computers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


app.callback()(version_option)


def main() -> NoReturn:
    """Run the `edgeinfer` command (entry point)."""
    sys.exit(execute(app, "edgeinfer"))
