"""The `answers` command: store the answers of teachers for the training faces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeinfer.cli.parameters import GroupedCommand
from edgeinfer.errors import UsageError
from edgeinfer_train.cli.files import check_outputs, convert_write_errors
from edgeinfer_train.cli.terminal import print_notice, require_modules
from edgeinfer_train.config import Precision
from edgeinfer_train.evaluation.inputs import data_inputs, model_inputs

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=GroupedCommand)
def answers(
    data: Annotated[Path, typer.Argument(help="Prepared data folder.", show_default=False)],
    teachers: Annotated[
        list[Path],
        typer.Argument(help="Run folders or .keras files of the teachers.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.npz", help="File to write.", show_default=False)],
    copies: Annotated[
        int, typer.Option(min=1, max=100, help="Copies of each face: the face itself and slightly moved ones.")
    ] = 4,
    precision: Annotated[Precision, typer.Option(help="Precision of the teachers.")] = "mixed_bfloat16",
) -> None:
    """Store the answers of teachers for the training faces, for fit --answers."""
    if out.suffix.lower() != ".npz":
        raise UsageError(f"invalid `out` {out}: expected a .npz file")
    inputs = [*data_inputs(data), *(path for teacher in teachers for path in model_inputs(teacher))]
    check_outputs(None, out, option="out", suffixes=(".npz",), inputs=inputs)
    require_modules("keras")
    from edgeinfer_train.training.answers import ask_teachers

    found = ask_teachers(data, teachers, copies=copies, precision=precision, on_teacher=print_notice)
    with convert_write_errors(out):
        found.save(out)
    typer.echo(f"{len(found.names):,} faces, {len(found.labels)} labels: {out}")
