"""The `evaluate` command: measure a model on a prepared data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeinfer.cli.parameters import GroupedCommand
from edgeinfer.system.identity import NamedPath
from edgeinfer_train.cli.files import JsonOption, check_outputs, convert_write_errors, write_json
from edgeinfer_train.cli.terminal import print_notice, require_modules
from edgeinfer_train.datasets.layout import Split
from edgeinfer_train.evaluation.inputs import data_inputs, model_inputs
from edgeinfer_train.labels import LabelMode, split_names

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=GroupedCommand)
def evaluate(
    model: Annotated[Path, typer.Argument(help="Run folder, .keras file or .onnx file.", show_default=False)],
    data: Annotated[Path, typer.Argument(help="Prepared data folder.", show_default=False)],
    split: Annotated[
        Split | None,
        typer.Option(help="Split to evaluate. Default: test, or valid if there is no test split.", show_default=False),
    ] = None,
    label_mode: Annotated[
        LabelMode | None,
        typer.Option(
            help="majority: exclude faces without a majority label; votes: compute the loss against soft labels. "
            "Default: majority if the data were prepared with it, else argmax."
        ),
    ] = None,
    prior: Annotated[
        str,
        typer.Option(
            metavar="natural|balanced|FILE.json", help="Expected share of each expression, as in edgeinfer run."
        ),
    ] = "natural",
    labels: Annotated[
        str,
        typer.Option(metavar="A,B,...", help="Restrict the model's outputs and the faces to these labels."),
    ] = "",
    json_file: JsonOption = None,
    mistakes: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png|FILE.html", help="Picture or page of the most confident misclassified faces."),
    ] = None,
    reliability: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw the accuracy against the confidence.")
    ] = None,
) -> None:
    """Measure loss, accuracy, macro-F1, calibration, and precision and recall for each label."""
    inputs = (*model_inputs(model), *data_inputs(data), NamedPath("`prior`", prior))
    check_outputs(json_file, mistakes, option="mistakes", suffixes=(".png", ".html"), inputs=inputs)
    check_outputs(None, reliability, option="reliability", inputs=[*inputs, *_written(json_file, mistakes)])
    keras = () if model.suffix.lower() == ".onnx" else ("keras",)
    require_modules("pandas", *keras, *(() if mistakes is reliability is None else ("matplotlib",)))
    from edgeinfer.expression.prior import read_prior
    from edgeinfer_train.cli.tables import evaluation_table
    from edgeinfer_train.evaluation import plots
    from edgeinfer_train.evaluation.evaluate import evaluate as evaluate_model
    from edgeinfer_train.evaluation.mistakes_page import write_mistakes_page

    evaluation = evaluate_model(
        model, data, split=_default_split(data) if split is None else split, label_mode=label_mode,
        prior=read_prior(prior), labels=split_names([labels] if labels else []),
    )  # fmt: skip
    typer.echo(evaluation_table(evaluation.to_mapping()))
    if json_file is not None:
        write_json(evaluation.to_mapping(), json_file)
    if mistakes is not None:
        with convert_write_errors(mistakes):
            draw = write_mistakes_page if mistakes.suffix.lower() == ".html" else plots.draw_mistakes
            draw(evaluation, data, mistakes)
    if reliability is not None:
        with convert_write_errors(reliability):
            plots.draw_reliability(evaluation, reliability)


def _written(json_file: Path | None, mistakes: Path | None) -> list[NamedPath]:
    """Return the other outputs, which the reliability diagram must not overwrite."""
    outputs = {"`json_file`": json_file, "`mistakes`": mistakes}
    return [NamedPath(role, str(path)) for role, path in outputs.items() if path is not None]


def _default_split(data: Path) -> Split:
    """Return "test" if the data set has a test split, else "valid"."""
    from edgeinfer_train.datasets.load import present_splits, read_info

    if "test" in present_splits(data, read_info(data).labels):
        return "test"
    print_notice(f"{data} has no test split; using valid, on which the model may have been selected")
    return "valid"
