"""The option `--version` of the commands."""

from __future__ import annotations

from typing import Annotated

import typer


def _print_version(requested: bool) -> None:
    if requested:
        from edgeinfer.system.checkout import package_version

        typer.echo(package_version())
        raise typer.Exit


def version_option(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version, with the commit in a checkout.",
        ),
    ] = False,
) -> None:
    """Accept the options of a program before its command."""
