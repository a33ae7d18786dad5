"""`edgeinfer service`: install, remove or inspect the systemd service."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    help="Install, remove or inspect the systemd service that starts a run at boot.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command()
def install(
    user: Annotated[
        str | None, typer.Option(metavar="NAME", help="User to run as. Default: a dynamic user created by systemd.")
    ] = None,
    no_start: Annotated[bool, typer.Option("--no-start", help="Start at the next boot, not now.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the unit without changing anything.")] = False,
) -> None:
    """Write the unit and an initial config file, enable and start the service. Requires root."""
    from edgeinfer.cli.systemd_unit import Service, check_user, inaccessible_folder, required_files, unit_text

    check_user(user)
    folder = inaccessible_folder(required_files(), user)
    if folder is not None:
        typer.echo(
            f"edgeinfer: warning: the service user cannot read {folder}; install edgeinfer in a world-readable "
            "folder such as /opt, or choose another user with --user",
            err=True,
        )
    if dry_run:
        typer.echo(unit_text(user=user), nl=False)
        return
    Service(report=typer.echo).install(user=user, start=not no_start)


@app.command()
def uninstall() -> None:
    """Stop the service and remove its unit; config and results stay. Requires root."""
    from edgeinfer.cli.systemd_unit import Service

    Service(report=typer.echo).uninstall()


@app.command()
def status() -> None:
    """Print the state of the service and its last log lines."""
    from edgeinfer.cli.systemd_unit import Service

    Service(report=typer.echo).status()
