"""The command line of training: parse, call one function, print."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from edgeinfer.errors import OutputError, UsageError
from edgeinfer.system.stderr import silenced
from edgeinfer.system.terminal import execute
from edgeinfer_train.cli import models
from edgeinfer_train.cli.terminal import progress_bar, require, say, write_json, writing
from edgeinfer_train.config import (
    BackboneName,
    ClassWeights,
    Devices,
    FitConfig,
    OptimizerName,
    Phases,
    Precision,
    Schedule,
    load_config,
)
from edgeinfer_train.datasets.load import Split
from edgeinfer_train.datasets.prepare import SourceKind
from edgeinfer_train.datasets.prepare.ferplus import NeutralRule
from edgeinfer_train.labels import LabelMode

if TYPE_CHECKING:
    from edgeinfer_train.datasets.prepare.writing import PrepareReport
    from edgeinfer_train.evaluation.history import History


app = typer.Typer(
    help="Trains models for edgeinfer: prepare a data set, fit a backbone, evaluate and compare what came of it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(models.app)

ClassCount = Literal["7", "8"]
JsonOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures here, too.")]


@app.command()
def prepare(
    kind: Annotated[SourceKind, typer.Argument(help="How the source is laid out.", show_default=False)],
    source: Annotated[Path, typer.Argument(help="Folder, zip or CSV file as published.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Data folder to fill.", show_default=False)],
    *,
    classes: Annotated[ClassCount, typer.Option(help="8 keeps contempt.")] = "7",
    label_mode: Annotated[
        LabelMode | None,
        typer.Option(help="Labels for fit and evaluate. Default: votes where there are some, else argmax."),
    ] = None,
    neutral_rule: Annotated[
        NeutralRule, typer.Option(help="others: the strongest other emotion takes a face from neutral (ferplus).")
    ] = "plurality",
    folds: Annotated[int | None, typer.Option(help="Folds by subject (ckplus). Default: 5.")] = None,
    fold: Annotated[int | None, typer.Option(help="The fold for validation (ckplus). Default: 1.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of splits that are made here (not ferplus). Default: 0.")] = None,
    summary: Annotated[
        Path | None, typer.Option(help="Draw counts and sample faces into this .png file.", show_default=False)
    ] = None,
) -> None:
    """Bring a data set into class folders, with its votes, if any, beside them."""
    _check_outputs(None, summary)
    require("pandas", *(() if summary is None else ("matplotlib",)))
    from edgeinfer_train.datasets.prepare import prepare as prepare_data
    from edgeinfer_train.datasets.summary import save_summary

    count: Literal[7, 8] = 8 if classes == "8" else 7
    # libpng writes to file descriptor 2 about each broken picture; a live bar needs that descriptor.
    with progress_bar("preparing") as progress, contextlib.nullcontext() if progress else silenced(native_only=True):
        report = prepare_data(
            kind, source, out, classes=count, label_mode=label_mode, neutral_rule=neutral_rule,
            folds=folds, fold=fold, seed=seed, progress=progress,
        )  # fmt: skip
    _show_prepared(report, out)
    if summary is not None:
        save_summary(out, summary)
        typer.echo(f"counts and sample faces are in {summary}")


@app.command()
def fit(
    data: Annotated[Path, typer.Argument(help="Prepared data folder.", show_default=False)],
    *,
    run: Annotated[Path, typer.Option(help="Folder of the run.", show_default=False)],
    backbone: Annotated[BackboneName | None, typer.Option(help="The network to train.")] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="imagenet|none|PATH",
            help="What the backbone starts from; PATH is a run or a file. Default: imagenet where Keras has it.",
        ),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Side of the network's input in pixels; 0 is the backbone's own.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Settings as TOML; the options here override them.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the folder, with its settings.")
    ] = False,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training faces at most.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Faces per step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak of the schedule.")] = None,
    optimizer: Annotated[OptimizerName | None, typer.Option(help="sgd has Nesterov's momentum.")] = None,
    schedule: Annotated[Schedule | None, typer.Option(help="What follows the warm-up.")] = None,
    trainable_layers: Annotated[
        int | None, typer.Option(help="Train the head and the backbone's last N layers; -1 trains all.")
    ] = None,
    phases: Annotated[Phases | None, typer.Option(help="two-phase trains the head alone first.")] = None,
    head_epochs: Annotated[int | None, typer.Option(help="Length of the first of two phases.")] = None,
    class_weights: Annotated[ClassWeights | None, typer.Option(help="balanced makes rare labels count more.")] = None,
    teacher: Annotated[
        list[Path] | None,
        typer.Option(metavar="RUN|FILE", help="Run or .keras file to learn from, too; repeat it to average several."),
    ] = None,
    width: Annotated[float | None, typer.Option(help="Factor on the channels of an edge network.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    patience: Annotated[int | None, typer.Option(help="Epochs without improvement before the run stops.")] = None,
    precision: Annotated[
        Precision | None, typer.Option(help="Of the training step; the saved model is float32.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Training faces at most, for a quick look.")] = None,
    label_mode: Annotated[
        LabelMode | None, typer.Option(help="How votes become what is learned. Default: the data's own.")
    ] = None,
    devices: Annotated[Devices | None, typer.Option(help="all: spread each batch over all devices.")] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write logs for TensorBoard into the run folder.")
    ] = False,
) -> None:
    """Train or fine-tune a network and leave a run folder that explains itself."""
    settings = _settings(config, run, resume, backbone).replace(
        backbone=backbone, weights=weights, image_size=image_size, epochs=epochs, batch_size=batch_size,
        learning_rate=learning_rate, optimizer=optimizer, schedule=schedule, trainable_layers=trainable_layers,
        phases=phases, head_epochs=head_epochs, class_weights=class_weights,
        teachers=tuple(map(str, teacher)) if teacher else None, width=width, seed=seed, patience=patience,
        precision=precision, limit=limit, label_mode=label_mode, tensorboard=tensorboard or None,
        devices=devices,
    )  # fmt: skip
    require("pandas", "keras", "matplotlib", "tomli_w")
    from edgeinfer_train.evaluation.evaluate import RUN_METRICS
    from edgeinfer_train.training import fit as training

    bar = sys.stderr.isatty()
    with contextlib.redirect_stdout(sys.stderr):  # where Keras' own bar goes
        training.fit(
            data,
            run,
            settings,
            resume=resume,
            verbose=1 if bar else 0,
            on_epoch=None if bar else _epoch_line(settings),
        )
    _show_run(run / RUN_METRICS)


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="Run folder, .keras file or .onnx file.", show_default=False)],
    data: Annotated[Path, typer.Argument(help="Prepared data folder.", show_default=False)],
    split: Annotated[
        Split | None,
        typer.Option(help="Default: test, or valid where there is no test.", show_default=False),
    ] = None,
    label_mode: Annotated[
        LabelMode | None,
        typer.Option(
            help="majority leaves out faces without one, votes has the loss against the soft labels. "
            "Default: majority where the data are prepared so, else argmax."
        ),
    ] = None,
    prior: Annotated[
        str,
        typer.Option(metavar="natural|balanced|FILE.json", help="How often each expression is expected, as for run."),
    ] = "natural",
    labels: Annotated[
        str,
        typer.Option(metavar="A,B,...", help="Measure these labels of the model's alone, on the faces that have them."),
    ] = "",
    json_file: JsonOption = None,
    mistakes: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw the most confident mistakes here.")
    ] = None,
) -> None:
    """Measure a model: loss, accuracy, macro-F1, calibration, and recall with counts for each label."""
    _check_outputs(json_file, mistakes)
    require(
        "pandas",
        *(() if model.suffix.lower() == ".onnx" else ("keras",)),
        *(() if mistakes is None else ("matplotlib",)),
    )
    from edgeinfer.expression.prior import read_prior
    from edgeinfer_train.cli.tables import evaluation_table
    from edgeinfer_train.evaluation import plots
    from edgeinfer_train.evaluation.evaluate import evaluate as measure

    chosen: Split = _default_split(data) if split is None else split
    wanted = tuple(name.strip() for name in labels.split(",")) if labels else ()
    evaluation = measure(model, data, split=chosen, label_mode=label_mode, prior=read_prior(prior), labels=wanted)
    typer.echo(evaluation_table(evaluation.to_mapping()))
    if json_file is not None:
        write_json(evaluation.to_mapping(), json_file)
    if mistakes is not None:
        with writing(mistakes):
            plots.mistakes(evaluation, data, mistakes)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Finished run folders.", show_default=False)],
    onnx: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE.onnx", help="An export to time that lies outside its run, beside its report. Repeatable."
        ),
    ] = None,
    json_file: JsonOption = None,
    picture: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw accuracy against cost here.")] = None,
) -> None:
    """Rank runs by accuracy, beside what they cost, and mark those that no other beats on both."""
    _check_outputs(json_file, picture)
    if picture is not None:
        require("matplotlib")
    from edgeinfer_train.cli.tables import leaderboard_table
    from edgeinfer_train.evaluation import plots
    from edgeinfer_train.evaluation.compare import compare as rank

    leaderboard = rank(runs, onnx=onnx or ())
    typer.echo(leaderboard_table(leaderboard))
    if json_file is not None:
        write_json(leaderboard.to_mapping(), json_file)
    if picture is not None:
        with writing(picture):
            plots.accuracy_against_cost(leaderboard, picture)


def _settings(config: Path | None, run: Path, resume: bool, backbone: BackboneName | None) -> FitConfig:
    """What the options override: the file named, the run to go on with, or the backbone's defaults."""
    if config is not None:
        return load_config(config)
    if resume and (run / "config.toml").is_file():
        return load_config(run / "config.toml")
    return FitConfig.for_backbone(backbone or "edgenet")


def _default_split(data: Path) -> Split:
    from edgeinfer_train.datasets.load import present_splits, read_info

    if "test" in present_splits(data, read_info(data).labels):
        return "test"
    say(f"{data} has no test split; measuring on valid, which may have chosen the model")
    return "valid"


def _epoch_line(settings: FitConfig) -> Callable[[History], None]:
    from edgeinfer_train.evaluation.history import best_epoch

    started = time.monotonic()

    def show(history: History) -> None:
        nonlocal started
        now = time.monotonic()
        row, best = history[-1], best_epoch(history, settings.monitor) + 1
        figures = "  ".join(f"{name} {row[name]:.4f}" for name in ("loss", "accuracy", "val_loss", "val_accuracy"))
        kept = "kept" if best == row["epoch"] else f"best {best}"
        print(
            f"epoch {row['epoch']:.0f}/{settings.epochs}  {figures}  {now - started:.0f} s  {kept}",
            file=sys.stderr,
            flush=True,
        )
        started = now

    return show


def _show_prepared(report: PrepareReport, out: Path) -> None:
    from edgeinfer_train.cli.tables import counts_table, skipped_table
    from edgeinfer_train.datasets.load import SKIPPED_FILE, read_info

    typer.echo(f"{counts_table(report)}\n\n{skipped_table(report)}")
    if report.skipped:
        typer.echo(f"all of them are in {out / SKIPPED_FILE}")
    typer.echo(f"labels by {read_info(out).protocol()}; splits {report.split_rule}")
    typer.echo(
        f"{report.written:,} new files in {out}" if report.written else f"{out} was complete already; nothing written"
    )
    if report.absent:
        say(f"the source holds no {' and no '.join(report.absent)} images; {out} goes without")
    for split, counts in report.counts.items():
        empty = [label for label, count in counts.items() if not count]
        if empty:
            say(f"warning: the {split} split has no face of {', '.join(empty)}")
    for (one, other), number in report.duplicates.items():
        left_out = "; training leaves them out" if one == "train" else ""
        say(f"warning: {number:,} {one} faces have the same pixels as a {other} face{left_out}")


def _check_outputs(json_file: Path | None, picture: Path | None) -> None:
    """Refuse what could not be written, before any work is done."""
    if picture is not None and picture.suffix.lower() != ".png":
        raise UsageError(f"the picture is written as .png, not {picture.suffix or picture}")
    for path in (json_file, picture):
        if path is not None and not path.parent.is_dir():
            raise OutputError(f"the folder {path.parent} does not exist; create it first")


def _show_run(metrics: Path) -> None:
    from edgeinfer_train.cli.tables import evaluation_table

    values = json.loads(metrics.read_text(encoding="utf-8"))
    typer.echo(evaluation_table({**values["validation"], "model": str(metrics.parent / values["validation"]["model"])}))
    typer.echo(f"\nepoch {values['best_epoch']} of {values['epochs']} was kept; everything is in {metrics.parent}")


def main() -> NoReturn:
    """Entry point of `edgeinfer-train`."""
    sys.exit(execute(app, "edgeinfer-train"))


if __name__ == "__main__":
    main()
