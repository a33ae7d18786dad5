"""The `edgeinfer-train` command line."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from edgeinfer.cli.parameters import GroupedCommand
from edgeinfer.cli.terminal import execute
from edgeinfer_train.cli.compare import compare
from edgeinfer_train.cli.evaluate import evaluate
from edgeinfer_train.cli.fit import fit
from edgeinfer_train.cli.label import label
from edgeinfer_train.cli.prepare import prepare

app = typer.Typer(
    help="Train models for edgeinfer: label and prepare faces, fit a network, evaluate and compare results.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (label, prepare, fit, evaluate, compare):
    app.command(cls=GroupedCommand)(command)


def main() -> NoReturn:
    """Run the `edgeinfer-train` command (entry point)."""
    sys.exit(execute(app, "edgeinfer-train", guarded=False))


if __name__ == "__main__":
    main()
