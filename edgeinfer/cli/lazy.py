"""Groups of commands whose modules are imported only when a command is called."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup


class _Commands(Mapping[str, Any]):
    """Commands by name, each imported at its first use."""

    def __init__(self, modules: Mapping[str, str]) -> None:
        self._modules = modules
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = _load(self._modules[name], name)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


class LazyGroup(TyperGroup):
    """Group whose commands are in separate modules, each with a Typer application `app`.

    Attributes:
        entries: Module, and first line of the help text, of each command, by name and in the order of the help.
    """

    entries: ClassVar[Mapping[str, tuple[str, str]]]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        commands: Any = _Commands({name: module for name, (module, _) in self.entries.items()})
        self.commands = commands

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands in the order of the help."""
        return list(self.entries)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of the commands without importing them."""
        limit = formatter.width - 6 - max(map(len, self.entries))
        commands = {name: TyperCommand(name, help=summary) for name, (_, summary) in self.entries.items()}
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(limit)) for name, command in commands.items()])


def _load(module: str, name: str) -> Any:
    """Return a command of a module, or the module's group of that name."""
    loaded: Any = typer.main.get_command(importlib.import_module(module).app)
    command = getattr(loaded, "commands", {}).get(name, loaded)
    command.name = name
    return command
