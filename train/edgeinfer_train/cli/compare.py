"""The `compare` command: rank finished runs."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from edgeinfer.cli.parameters import GroupedCommand
from edgeinfer.system.identity import NamedPath
from edgeinfer_train.cli.files import JsonOption, check_outputs, convert_write_errors, write_json
from edgeinfer_train.cli.terminal import require_modules
from edgeinfer_train.evaluation.inputs import exported_inputs, model_inputs

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=GroupedCommand)
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Finished run folders.", show_default=False)],
    onnx: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE.onnx",
            help="ONNX file outside its run folder, with its export report next to it. Repeatable.",
        ),
    ] = None,
    json_file: JsonOption = None,
    picture: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Plot accuracy against cost.")] = None,
) -> None:
    """Rank runs by accuracy, list their costs, and mark the Pareto front."""
    read = chain.from_iterable(chain(model_inputs(run), exported_inputs(run)) for run in runs)
    check_outputs(json_file, picture, inputs=chain(read, (NamedPath("`onnx`", str(path)) for path in onnx or ())))
    if picture is not None:
        require_modules("matplotlib")
    from edgeinfer_train.cli.tables import leaderboard_table
    from edgeinfer_train.evaluation import plots
    from edgeinfer_train.evaluation.compare import compare as rank

    leaderboard = rank(runs, onnx=onnx or ())
    typer.echo(leaderboard_table(leaderboard))
    if json_file is not None:
        write_json(leaderboard.to_mapping(), json_file)
    if picture is not None:
        with convert_write_errors(picture):
            plots.draw_accuracy_against_cost(leaderboard, picture)
