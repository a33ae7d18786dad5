"""Command classes: settings from files and the environment, and reload on SIGHUP."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from edgeinfer.cli import config_file as files
from edgeinfer.cli.config_file import Setting
from edgeinfer.cli.parameters import GroupedCommand
from edgeinfer.cli.reload import run_reloadable
from edgeinfer.cli.terminal import name_flags
from edgeinfer.errors import EdgeInferError, UsageError

ENVIRONMENT = "EDGEINFER"
CONFIGURABLE = ("run", "batch")
"""Commands that read config files."""
ARGUMENTS, ORIGINS = "edgeinfer.arguments", "edgeinfer.origins"
_KINDS: dict[str, files.Kind] = {"boolean": "boolean", "integer": "whole number", "number": "number"}


class ConfigurableCommand(GroupedCommand):
    """Command that also reads its options from files and the environment.

    Attributes:
        table: Table of the config files that contains its settings and takes precedence over the keys outside tables;
            "" for the command whose settings are outside tables.
        own: Options that are read only from the table, and from variables that begin with its name.
    """

    table: ClassVar[str] = ""
    own: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for parameter in self.params:
            # The help of --config describes the rule for all variables.
            vars(parameter).update(envvar=self.variable(str(parameter.name)), show_envvar=False)

    def variable(self, name: str) -> str:
        """Return the name of the environment variable of an option."""
        prefix = f"{ENVIRONMENT}_{self.table}" if name in self.own else ENVIRONMENT
        return f"{prefix}_{name}".upper()

    def selected(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of this command's options.

        Args:
            values: Values by key, and by key in each table.
        """
        options = {parameter.name for parameter in configurable_parameters(self)}
        shared = {key: value for key, value in values.items() if key in options - self.own}
        return {**shared, **values.get(self.table, {})}

    def check_combination(self, options: dict[str, Any]) -> None:
        """Raise an `EdgeInferError` for mutually exclusive options."""


class ReloadableCommand(ConfigurableCommand):
    """Configurable command that restarts with new settings on SIGHUP."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Store the arguments, which a reload parses again."""
        ctx.meta[ARGUMENTS] = tuple(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command, again after each SIGHUP."""
        written = self.output_paths(ctx.params)

        def reparse() -> Any:
            fresh = self.make_context(ctx.info_name, list(ctx.meta[ARGUMENTS]), parent=ctx.parent)
            try:
                self.check_combination(fresh.params)  # before a working run is stopped
                self.check_outputs(fresh.params, written)
            except EdgeInferError as error:
                raise UsageError(name_flags(str(error), self)) from error
            written.update(self.output_paths(fresh.params))
            fresh.params |= {"append": True, "no_overwrite": False}  # keep the output of this run
            return fresh

        return run_reloadable(super().invoke, ctx, reparse)

    def output_paths(self, options: dict[str, Any]) -> set[str]:
        """Return the paths of the output files, as given."""
        return set()

    def check_outputs(self, options: dict[str, Any], written: set[str]) -> None:
        """Raise an `EdgeInferError` if a restart cannot write its outputs; `written` are those of the runs before."""


def read_config_option(ctx: typer.Context, file: Path | None) -> Path | None:
    """Use values from the config files as defaults for all other options (callback of `--config`).

    Raises:
        UsageError: A file is invalid.
    """
    command: Any = ctx.command
    values, origins, _ = read_settings(ctx, file)
    ctx.default_map, ctx.meta[ORIGINS] = command.selected(values), command.selected(origins)
    return file


def read_settings(ctx: typer.Context, file: Path | None) -> tuple[dict[str, Any], dict[str, Any], tuple[Path, ...]]:
    """Read and validate the config files for all commands; see `config_file.read_configs`.

    Args:
        ctx: Context of any command.
        file: File given by the user, or None.

    Raises:
        UsageError: A file is invalid.
    """
    root: Any = ctx.find_root()
    settings = {
        command.table: settings_of(typer.Context(command, parent=root))
        for command in (root.command.commands[name] for name in CONFIGURABLE)
    }
    return files.read_configs(file, settings.pop(""), settings)


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE.toml",
        is_eager=True,
        callback=read_config_option,
        help=f"Settings named like these options; replaces {files.SYSTEM_FILE} and the user's file. "
        f"Environment variables ({ENVIRONMENT}_MODEL ...) and the command line take precedence.",
    ),
]


def settings_of(ctx: typer.Context) -> dict[str, Setting]:
    """Return the keys that a config file of this command may contain, with the type and check of each."""
    return {p.name: Setting(_kind(p), _checker(ctx, p)) for p in configurable_parameters(ctx.command)}


def configurable_parameters(command: Any) -> list[Any]:
    """Return the parameters of a command that a config file may set."""
    return [p for p in command.params if p.name not in ("config", "help")]


def _kind(parameter: Any) -> files.Kind:
    is_list = getattr(parameter, "multiple", False) or parameter.nargs != 1
    return "list" if is_list else _KINDS.get(parameter.type.name, "text")


def _checker(ctx: typer.Context, parameter: Any) -> Any:
    def check(value: Any) -> str | None:
        try:
            parameter.process_value(ctx, value)
        except typer.BadParameter as error:
            return str(error.message)
        except EdgeInferError as error:
            return str(error)
        return None

    return check
