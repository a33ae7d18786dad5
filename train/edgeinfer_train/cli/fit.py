"""The `fit` command: train or fine-tune a network."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeinfer.cli.parameters import expand_groups
from edgeinfer_train.cli.terminal import print_notice, require_modules
from edgeinfer_train.config import FitConfig, load_config, read_settings

if TYPE_CHECKING:
    from edgeinfer_train.evaluation.history import History


@expand_groups
def fit(
    data: Annotated[Path, typer.Argument(help="Prepared data folder.", show_default=False)],
    *,
    run: Annotated[Path, typer.Option(help="Run folder to write.", show_default=False)],
    config: Annotated[Path | None, typer.Option(help="TOML file of settings; options override it.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume the run in the folder, with its settings.")] = False,
    changes: Annotated[dict[str, Any], FitConfig],
) -> None:
    """Train or fine-tune a network and write a run folder."""
    given = {**(read_settings(config) if config else {}), **changes}
    FitConfig.from_mapping(given)  # reports an invalid setting before the slow imports
    require_modules("pandas", "keras", "matplotlib", "tomli_w")
    from edgeinfer_train.evaluation.evaluate import RUN_METRICS
    from edgeinfer_train.training import fit as training
    from edgeinfer_train.training.recipe import choose_settings

    if config is None and resume and (run / "config.toml").is_file():
        settings = load_config(run / "config.toml").replace(**changes)
    else:
        settings = choose_settings(data, given)
    bar = sys.stderr.isatty()
    with contextlib.redirect_stdout(sys.stderr):  # Keras prints its progress bar to stdout
        training.fit(
            data,
            run,
            settings,
            resume=resume,
            verbose=1 if bar else 0,
            on_epoch=None if bar else _epoch_printer(settings),
            notify=print_notice,
        )
    _print_result(run / RUN_METRICS)


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
    """Print the validation results of a finished run and its baselines."""
    from edgeinfer_train.cli.tables import baselines_table, evaluation_table

    values = json.loads(metrics.read_text(encoding="utf-8"))
    typer.echo(evaluation_table({**values["validation"], "model": str(metrics.parent / values["validation"]["model"])}))
    typer.echo(f"\n{baselines_table(values)}")
    kept = values.get("kept", f"epoch {values['best_epoch']} of {values['epochs']}")
    typer.echo(f"\nkept {kept}; all files are in {metrics.parent}")
