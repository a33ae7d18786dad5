"""`edgeinfer service`."""

from __future__ import annotations

from typing import Annotated

import typer

from edgeinfer.cli.systemd_unit import Service, check_user, closed_folder, needed, unit_text

app = typer.Typer(
    help="Run as a service of systemd, from the start of the machine on.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
def install(
    user: Annotated[
        str | None, typer.Option(metavar="NAME", help="Run as this user. Default: one of its own, made by systemd.")
    ] = None,
    no_start: Annotated[bool, typer.Option("--no-start", help="Start with the machine, not now.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the unit and touch nothing.")] = False,
) -> None:
    """Write the unit and a first config, enable and start it. Needs root."""
    check_user(user)
    folder = closed_folder(needed(), user)
    if folder is not None:
        typer.echo(
            f"edgeinfer: warning: the service's user cannot read {folder}; install edgeinfer where all may read, "
            "such as /opt, or name another user with --user",
            err=True,
        )
    if dry_run:
        typer.echo(unit_text(user=user), nl=False)
        return
    Service(say=typer.echo).install(user=user, start=not no_start)


@app.command()
def uninstall() -> None:
    """Stop it and remove the unit; config and results stay. Needs root."""
    Service(say=typer.echo).uninstall()


@app.command()
def status() -> None:
    """Say whether it is installed and at work, and what it said last."""
    Service(say=typer.echo).status()
