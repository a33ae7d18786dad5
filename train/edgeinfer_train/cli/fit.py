"""The `fit` command: train or fine-tune a network."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeinfer_train.cli.terminal import require_modules
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
from edgeinfer_train.labels import LabelMode

if TYPE_CHECKING:
    from edgeinfer_train.evaluation.history import History


def fit(
    data: Annotated[Path, typer.Argument(help="Prepared data folder.", show_default=False)],
    *,
    run: Annotated[Path, typer.Option(help="Run folder to write.", show_default=False)],
    backbone: Annotated[BackboneName | None, typer.Option(help="Network to train.")] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="imagenet|none|PATH",
            help="Initial weights; PATH is a run folder or a file. Default: imagenet if Keras publishes them.",
        ),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Side of the square input in pixels; 0 uses the backbone's default.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file of settings; options override it.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume the run in the folder, with its settings.")] = False,
    epochs: Annotated[int | None, typer.Option(help="Maximum number of epochs.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Faces per batch.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    optimizer: Annotated[OptimizerName | None, typer.Option(help="sgd uses Nesterov momentum.")] = None,
    schedule: Annotated[Schedule | None, typer.Option(help="Learning rate schedule after the warm-up.")] = None,
    trainable_layers: Annotated[
        int | None, typer.Option(help="Train the head and the backbone's last N layers; -1 trains all.")
    ] = None,
    phases: Annotated[Phases | None, typer.Option(help="two-phase trains the head alone first.")] = None,
    head_epochs: Annotated[int | None, typer.Option(help="Epochs of the head-only phase.")] = None,
    class_weights: Annotated[
        ClassWeights | None, typer.Option(help="balanced weights faces by inverse label frequency.")
    ] = None,
    teacher: Annotated[
        list[Path] | None,
        typer.Option(metavar="RUN|FILE", help="Run folder or .keras file of a teacher. Repeat to average several."),
    ] = None,
    width: Annotated[float | None, typer.Option(help="Channel multiplier of an edge network.")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed.")] = None,
    patience: Annotated[int | None, typer.Option(help="Epochs without improvement before training stops.")] = None,
    precision: Annotated[
        Precision | None, typer.Option(help="Precision of the training step; the saved model is float32.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Maximum number of training faces; 0 uses all.")] = None,
    label_mode: Annotated[
        LabelMode | None, typer.Option(help="Conversion of votes to labels. Default: the data set's label mode.")
    ] = None,
    devices: Annotated[Devices | None, typer.Option(help="all splits each batch over all devices.")] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write TensorBoard logs into the run folder.")
    ] = False,
) -> None:
    """Train or fine-tune a network and write a run folder."""
    settings = _base_config(config, run, resume, backbone).replace(
        backbone=backbone, weights=weights, image_size=image_size, epochs=epochs, batch_size=batch_size,
        learning_rate=learning_rate, optimizer=optimizer, schedule=schedule, trainable_layers=trainable_layers,
        phases=phases, head_epochs=head_epochs, class_weights=class_weights,
        teachers=tuple(map(str, teacher)) if teacher else None, width=width, seed=seed, patience=patience,
        precision=precision, limit=limit, label_mode=label_mode, tensorboard=tensorboard or None,
        devices=devices,
    )  # fmt: skip
    require_modules("pandas", "keras", "matplotlib", "tomli_w")
    from edgeinfer_train.evaluation.evaluate import RUN_METRICS
    from edgeinfer_train.training import fit as training

    bar = sys.stderr.isatty()
    with contextlib.redirect_stdout(sys.stderr):  # Keras prints its progress bar to stdout
        training.fit(
            data,
            run,
            settings,
            resume=resume,
            verbose=1 if bar else 0,
            on_epoch=None if bar else _epoch_printer(settings),
        )
    _print_result(run / RUN_METRICS)


def _base_config(config: Path | None, run: Path, resume: bool, backbone: BackboneName | None) -> FitConfig:
    """Return the settings that options override: the config file, the resumed run, or the backbone's defaults."""
    if config is not None:
        return load_config(config)
    if resume and (run / "config.toml").is_file():
        return load_config(run / "config.toml")
    return FitConfig.for_backbone(backbone or "edgenet")


def _epoch_printer(settings: FitConfig) -> Callable[[History], None]:
    """Return a callback that prints one line per epoch to stderr."""
    from edgeinfer_train.evaluation.history import best_epoch

    started = time.monotonic()

    def print_epoch(history: History) -> None:
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

    return print_epoch


def _print_result(metrics: Path) -> None:
    """Print the validation results of a finished run."""
    from edgeinfer_train.cli.tables import evaluation_table

    values = json.loads(metrics.read_text(encoding="utf-8"))
    typer.echo(evaluation_table({**values["validation"], "model": str(metrics.parent / values["validation"]["model"])}))
    typer.echo(f"\nkept epoch {values['best_epoch']} of {values['epochs']}; all files are in {metrics.parent}")
