"""`edgeinfer config`, and how `edgeinfer run` takes settings from files and starts again with new ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand

from edgeinfer.cli import config_file as files
from edgeinfer.cli.config_file import Setting
from edgeinfer.cli.reload import run_reloadable
from edgeinfer.errors import EdgeInferError, UsageError

ENVIRONMENT = "EDGEINFER"
_ARGUMENTS, _ORIGINS = "edgeinfer.arguments", "edgeinfer.origins"
_KINDS: dict[str, files.Kind] = {
    "boolean": "boolean", "integer": "whole number", "integer range": "whole number",
    "float": "number", "float range": "number",
}  # fmt: skip
Value = TypeVar("Value")

app = typer.Typer(
    help="Show or check the settings of `run` from files and the environment.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class RunCommand(TyperCommand):
    """A command whose options may come from files; SIGHUP has it read them anew and start again."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for parameter in self.params:  # one rule for all of them, told with --config
            vars(parameter)["show_envvar"] = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep the arguments for another reading."""
        ctx.meta[_ARGUMENTS] = tuple(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run, as often as SIGHUP asks for it."""

        def again() -> Any:
            fresh = self.make_context(ctx.info_name, list(ctx.meta[_ARGUMENTS]), parent=ctx.parent)
            self.refuse(fresh.params)
            fresh.params["append"] = True  # what this run has written stays
            return fresh

        return run_reloadable(super().invoke, ctx, again)

    def refuse(self, options: dict[str, Any]) -> None:
        """Raise for options that do not go together, before a run that works is ended for them."""


def take_config(ctx: typer.Context, file: Path | None) -> Path | None:
    """Callback of `--config`: what the files say becomes the default of every other option.

    Raises:
        UsageError: a file makes no sense.
    """
    ctx.default_map, ctx.meta[_ORIGINS], _ = files.read_configs(file, _settings(ctx))
    return file


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE.toml",
        is_eager=True,
        callback=take_config,
        help=f"Settings, with the names of these options, in the place of {files.SYSTEM_FILE} and the user's own. "
        f"The environment ({ENVIRONMENT}_MODEL ...) and the command line win over them.",
    ),
]


def refused_by(check: Callable[[str], object]) -> Callable[[Value], Value]:
    """An option's callback that lets a value pass which `check` takes without an error."""

    def callback(value: Value) -> Value:
        texts: Any = value if isinstance(value, list | tuple) else (value,)
        for text in texts:
            if text is not None:
                check(text)
        return value

    return callback


@app.command()
def show(
    ctx: typer.Context,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each setting comes from.")] = False,
    file: Annotated[Path | None, typer.Option("--config", metavar="FILE.toml", help="As for run.")] = None,
) -> None:
    """Print what a run without options would use, as TOML."""
    root: Any = ctx.find_root()
    run = root.command.commands["run"].make_context("run", [] if file is None else ["--config", str(file)], parent=root)
    rows = ((name, run.params[name], _origin(run, name) if origin else "") for name, _ in _parameters(run.command))
    typer.echo(files.as_toml(rows))


@app.command()
def check(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE.toml", help="Default: the files that a run would read.")
    ] = None,
) -> None:
    """Check config files: exit code 0, or 2 with a sentence that says what is wrong."""
    root: Any = ctx.find_root()
    run = root.command.commands["run"]
    _, _, found = files.read_configs(file, _settings(typer.Context(run, parent=root)))
    if found:
        _refuse_together(run, root, file, found)
    for path in found:
        typer.echo(f"{path} is fine")
    if not found:
        typer.echo(f"no config file; a run looks for {' and '.join(map(str, files.default_files()))}")


def _refuse_together(run: Any, root: Any, file: Path | None, found: tuple[Path, ...]) -> None:
    """Raise `UsageError` for settings that do not go together, those of the environment included."""
    options = run.make_context("run", [] if file is None else ["--config", str(file)], parent=root).params
    try:
        run.refuse(options)
    except EdgeInferError as error:
        raise UsageError(f"{' and '.join(map(str, found))}: {error}") from error


def _settings(ctx: typer.Context) -> dict[str, Setting]:
    return {name: Setting(_kind(parameter), _judge(ctx, parameter)) for name, parameter in _parameters(ctx.command)}


def _parameters(command: Any) -> Iterator[tuple[str, Any]]:
    """The parameters of a command that may stand in a file."""
    return ((p.name, p) for p in command.params if p.name not in ("config", "help"))


def _kind(parameter: Any) -> files.Kind:
    return "list" if getattr(parameter, "multiple", False) else _KINDS.get(parameter.type.name, "text")


def _judge(ctx: typer.Context, parameter: Any) -> Callable[[Any], str | None]:
    def judge(value: Any) -> str | None:
        try:
            parameter.process_value(ctx, value)
        except typer.BadParameter as error:
            return str(error.message)
        return None

    return judge


def _origin(ctx: Any, name: str) -> str:
    source = ctx.get_parameter_source(name)
    match source.name if source else "DEFAULT":
        case "ENVIRONMENT":
            return f"environment, {ENVIRONMENT}_{name.upper()}"
        case "DEFAULT_MAP":
            return str(ctx.meta[_ORIGINS][name])
        case "COMMANDLINE":
            return "command line"
    return "default"
