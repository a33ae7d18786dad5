"""`edgeinfer config`: show and check the settings of `run` and `batch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgeinfer.cli import config_file as files
from edgeinfer.cli.command import CONFIGURABLE, ORIGINS, configurable_parameters, read_settings
from edgeinfer.errors import EdgeInferError, UsageError

app = typer.Typer(
    help="Show or check the settings of `run` and `batch` from files and the environment.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command()
def show(
    ctx: typer.Context,
    origin: Annotated[bool, typer.Option("--origin", help="Add the origin of each setting.")] = False,
    file: Annotated[Path | None, typer.Option("--config", metavar="FILE.toml", help="Same as for run.")] = None,
) -> None:
    """Print the settings of run and batch without options, as TOML."""
    values, _, _ = read_settings(ctx, file)
    for name in CONFIGURABLE:
        command = _context(ctx, name, file)
        table = command.command.table
        if table:
            typer.echo(f"\n[{table}]")
        names = [parameter.name for parameter in configurable_parameters(command.command)]
        if table:
            names = [key for key in names if key in command.command.own or key in values[table]]
        typer.echo(files.as_toml((key, command.params[key], _origin(command, key) if origin else "") for key in names))


@app.command()
def check(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE.toml", help="Default: the files that `run` and `batch` read.")
    ] = None,
) -> None:
    """Check config files; exit with code 2 and the reason if one is invalid."""
    _, _, found = read_settings(ctx, file)
    if found:
        for name in CONFIGURABLE:
            _check_combination(_context(ctx, name, file), found)
    for path in found:
        typer.echo(f"{path} is valid")
    if not found:
        typer.echo(f"no config file found; run and batch read {' and '.join(map(str, files.default_files()))}")


def _context(ctx: Any, name: str, file: Path | None) -> Any:
    """Return the context of a command without other arguments than `--config`."""
    root = ctx.find_root()
    arguments = [] if file is None else ["--config", str(file)]
    return root.command.commands[name].make_context(name, arguments, parent=root)


def _check_combination(ctx: Any, found: tuple[Path, ...]) -> None:
    """Raise `UsageError` for mutually exclusive settings, including those of the environment."""
    try:
        ctx.command.check_combination(ctx.params)
    except EdgeInferError as error:
        raise UsageError(f"{' and '.join(map(str, found))}: {files.without_backticks(str(error))}") from error


def _origin(ctx: Any, name: str) -> str:
    source = ctx.get_parameter_source(name)
    match source.name if source else "DEFAULT":
        case "ENVIRONMENT":
            return f"environment, {ctx.command.variable(name)}"
        case "DEFAULT_MAP":
            return str(ctx.meta[ORIGINS][name])
        case "COMMANDLINE":
            return "command line"
    return "default"
