"""`edgeinfer config`: show and check the settings of `run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgeinfer.cli import config_file as files
from edgeinfer.cli.command import ENVIRONMENT, ORIGINS, configurable_parameters, settings_of
from edgeinfer.errors import EdgeInferError, UsageError

app = typer.Typer(
    help="Show or check the settings of `run` from files and the environment.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def show(
    ctx: typer.Context,
    origin: Annotated[bool, typer.Option("--origin", help="Add the origin of each setting.")] = False,
    file: Annotated[Path | None, typer.Option("--config", metavar="FILE.toml", help="Same as for run.")] = None,
) -> None:
    """Print the settings of a run without options, as TOML."""
    root: Any = ctx.find_root()
    run = _run_context(root, file)
    names = [parameter.name for parameter in configurable_parameters(run.command)]
    typer.echo(files.as_toml((name, run.params[name], _origin(run, name) if origin else "") for name in names))


@app.command()
def check(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE.toml", help="Default: the files that `run` reads.")
    ] = None,
) -> None:
    """Check config files; exit with 2 and the reason if one is invalid."""
    root: Any = ctx.find_root()
    command = root.command.commands["run"]
    _, _, found = files.read_configs(file, settings_of(typer.Context(command, parent=root)))
    if found:
        _check_combination(_run_context(root, file), found)
    for path in found:
        typer.echo(f"{path} is valid")
    if not found:
        typer.echo(f"no config file found; run reads {' and '.join(map(str, files.default_files()))}")


def _run_context(root: Any, file: Path | None) -> Any:
    arguments = [] if file is None else ["--config", str(file)]
    return root.command.commands["run"].make_context("run", arguments, parent=root)


def _check_combination(run: Any, found: tuple[Path, ...]) -> None:
    """Raise `UsageError` for mutually exclusive settings, including those of the environment."""
    try:
        run.command.check_combination(run.params)
    except EdgeInferError as error:
        raise UsageError(f"{' and '.join(map(str, found))}: {files.without_backticks(str(error))}") from error


def _origin(ctx: Any, name: str) -> str:
    source = ctx.get_parameter_source(name)
    match source.name if source else "DEFAULT":
        case "ENVIRONMENT":
            return f"environment, {ENVIRONMENT}_{name.upper()}"
        case "DEFAULT_MAP":
            return str(ctx.meta[ORIGINS][name])
        case "COMMANDLINE":
            return "command line"
    return "default"
