"""The `run` command class: settings from files and the environment, and reload on SIGHUP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgeinfer.cli import config_file as files
from edgeinfer.cli.config_file import Setting
from edgeinfer.cli.parameters import GroupedCommand
from edgeinfer.cli.reload import run_reloadable
from edgeinfer.cli.terminal import name_flags
from edgeinfer.errors import EdgeInferError, UsageError

ENVIRONMENT = "EDGEINFER"
ARGUMENTS, ORIGINS = "edgeinfer.arguments", "edgeinfer.origins"
_KINDS: dict[str, files.Kind] = {
    "boolean": "boolean", "integer": "whole number", "integer range": "whole number",
    "float": "number", "float range": "number",
}  # fmt: skip


class ConfigurableCommand(GroupedCommand):
    """Command that also reads options from files and the environment, and restarts with new ones on SIGHUP."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for parameter in self.params:  # the help of --config describes the rule for all variables
            vars(parameter)["show_envvar"] = False

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
                self.check_combination(fresh.params)
                self.check_outputs(fresh.params, written)
            except EdgeInferError as error:
                raise UsageError(name_flags(str(error), self)) from error
            written.update(self.output_paths(fresh.params))
            fresh.params |= {"append": True, "no_overwrite": False}  # keep the output of this run
            return fresh

        return run_reloadable(super().invoke, ctx, reparse)

    def check_combination(self, options: dict[str, Any]) -> None:
        """Raise an `EdgeInferError` for mutually exclusive options, before a working run is stopped."""

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
    ctx.default_map, ctx.meta[ORIGINS], _ = files.read_configs(file, settings_of(ctx))
    return file


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
    return "list" if getattr(parameter, "multiple", False) else _KINDS.get(parameter.type.name, "text")


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
