"""Public names that must not change, stored in tests/assets/contract.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

CONTRACT: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "assets" / "contract.json").read_text(encoding="utf-8")
)


def option_names(app: typer.Typer) -> dict[str, list[str]]:
    """Return the sorted option names of every command of a Typer application, without --help."""
    found: dict[str, list[str]] = {}

    def collect(command: Any, path: tuple[str, ...]) -> None:
        for name, subcommand in getattr(command, "commands", {}).items():
            collect(subcommand, (*path, name))
        if not hasattr(command, "commands"):
            names = (name for p in command.params for name in (*p.opts, *p.secondary_opts))
            found[" ".join(path)] = sorted(name for name in names if name.startswith("-") and name != "--help")

    collect(typer.main.get_command(app), ())
    return found
