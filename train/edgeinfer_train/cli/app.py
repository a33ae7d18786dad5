"""The `edgeinfer-train` command line."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import ClassVar, NoReturn

import typer

from edgeinfer.cli.lazy import LazyGroup
from edgeinfer.cli.terminal import execute
from edgeinfer.cli.version import version_option


class _Commands(LazyGroup):
    entries: ClassVar[Mapping[str, tuple[str, str]]] = {
        "label": (
            "edgeinfer_train.cli.label",
            "Write the faces of pictures and clips into class folders, with a page to correct their labels.",
        ),
        "prepare": (
            "edgeinfer_train.cli.prepare",
            "Convert a data set into class folders, with a votes file if the source has votes.",
        ),
        "fit": ("edgeinfer_train.cli.fit", "Train or fine-tune a network and write a run folder."),
        "evaluate": (
            "edgeinfer_train.cli.evaluate",
            "Measure loss, accuracy, macro-F1, calibration, and precision and recall for each label.",
        ),
        "answers": (
            "edgeinfer_train.cli.answers",
            "Store the answers of teachers for the training faces, for fit --answers.",
        ),
        "compare": (
            "edgeinfer_train.cli.compare",
            "Rank runs by accuracy, list their costs, and mark the Pareto front.",
        ),
    }


app = typer.Typer(
    cls=_Commands,
    help="Train models for edgeinfer: label and prepare faces, fit a network, evaluate and compare results.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


app.callback()(version_option)


def main() -> NoReturn:
    """Run the `edgeinfer-train` command (entry point)."""
    sys.exit(execute(app, "edgeinfer-train", guarded=False))


if __name__ == "__main__":
    main()
