"""The `fit` command: train or fine-tune a network."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from shlex import quote
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeinfer.cli.parameters import GroupedCommand, expand_groups
from edgeinfer.system.interrupts import Interrupted
from edgeinfer_train.cli.terminal import print_notice, require_modules
from edgeinfer_train.config import FitConfig
from edgeinfer_train.config_file import load_config, read_settings

if TYPE_CHECKING:
    from edgeinfer_train.evaluation.history import History

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=GroupedCommand)
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
    # Keras prints its progress bar to stdout.
    with _resume_notice(data, run), contextlib.redirect_stdout(sys.stderr):
        training.fit(
            data,
            run,
            settings,
            resume=resume,
            verbose=1 if bar else 0,
            on_epoch=_epoch_printer(settings),
            notify=print_notice,
        )
    _print_result(run / RUN_METRICS)


@contextlib.contextmanager
def _resume_notice(data: Path, run: Path) -> Iterator[None]:
    """Add the command that resumes the run to the message of an interruption."""
    try:
        yield
    except Interrupted as interruption:
        kept = run / "model.keras"
        state = f"the best model so far is {kept}" if kept.is_file() else "no epoch was complete"
        command = f"edgeinfer-train fit {quote(str(data))} --run {quote(str(run))} --resume"
        interruption.outcome = f"{state}; resume with: {command}"
        raise


def _epoch_printer(settings: FitConfig) -> Callable[[History], None]:
    """Return a callback that prints one line per epoch to stderr, with the best epoch and the remaining time."""
    from edgeinfer_train.evaluation.history import best_epoch

    durations: list[float] = []
    started = time.monotonic()

    def print_epoch(history: History) -> None:
        nonlocal started
        now = time.monotonic()
        durations.append(now - started)
        row, best = history[-1], best_epoch(history, settings.monitor)
        figures = "  ".join(f"{name} {row[name]:.4f}" for name in ("loss", "accuracy", "val_loss", "val_accuracy"))
        kept = f"best {best + 1} with {history[best][settings.monitor]:.4f}"
        # The first epoch includes the compilation and the cross-validation.
        left = (settings.epochs - len(history)) * median(durations[1:] or durations)
        print(
            f"epoch {row['epoch']:.0f}/{settings.epochs}  {figures}  {kept}  {durations[-1]:.1f} s  "
            f"{format_duration(left)} left",
            file=sys.stderr,
            flush=True,
        )
        started = now

    return print_epoch


def format_duration(seconds: float) -> str:
    """Return a duration as hours and minutes, minutes and seconds, or seconds.

    Args:
        seconds: 0 or more.

    Examples:
        >>> format_duration(4000), format_duration(75), format_duration(5)
        ('1 h 06 min', '1 min 15 s', '5 s')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _print_result(metrics: Path) -> None:
    """Print the validation results of a finished run and its baselines."""
    from edgeinfer_train.cli.tables import baselines_table, evaluation_table

    values = json.loads(metrics.read_text(encoding="utf-8"))
    typer.echo(evaluation_table({**values["validation"], "model": str(metrics.parent / values["validation"]["model"])}))
    typer.echo(f"\n{baselines_table(values)}")
    kept = values.get("kept", f"epoch {values['best_epoch']} of {values['epochs']}")
    typer.echo(f"\nkept {kept}; all files are in {metrics.parent}")
