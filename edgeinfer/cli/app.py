"""The `edgeinfer` command."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from edgeinfer.cli import batch, config, inspect, report, run, service
from edgeinfer.cli.terminal import execute

app = typer.Typer(
    help="Recognizes perceived facial expressions in video, live, on small computers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(run.app)
app.add_typer(batch.app)
app.add_typer(report.app)
app.add_typer(inspect.app)
app.add_typer(config.app, name="config")
app.add_typer(service.app, name="service")


def _print_version(requested: bool) -> None:
    if requested:
        from importlib import metadata

        typer.echo(metadata.version("edgeinfer"))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> NoReturn:
    """Run the `edgeinfer` command (entry point)."""
    sys.exit(execute(app, "edgeinfer"))
