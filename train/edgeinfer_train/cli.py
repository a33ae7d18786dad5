"""The command line of training: parse, call one function, print."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from edgeinfer.cli import execute
from edgeinfer.errors import CapabilityError, OutputError
from edgeinfer_train.config import BackboneName, FitConfig, Precision, load_config
from edgeinfer_train.data import Split

if TYPE_CHECKING:
    from edgeinfer_train.callbacks import History
    from edgeinfer_train.prepare import PrepareReport

app = typer.Typer(
    help="Trains models for edgeinfer: prepare a data set, fit a backbone, evaluate what came of it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

SourceName = Literal["ferplus"]
ClassCount = Literal["7", "8"]


@app.command()
def prepare(
    kind: Annotated[SourceName, typer.Argument(help="How the source is laid out.", show_default=False)],
    source: Annotated[Path, typer.Argument(help="Folder or zip file as published.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Data folder to fill.", show_default=False)],
    classes: Annotated[ClassCount, typer.Option(help="8 keeps contempt.")] = "7",
) -> None:
    """Bring a published data set into class folders, with its votes beside them."""
    _require("pandas")
    from edgeinfer_train.prepare import prepare_ferplus

    del kind  # there is one
    count: Literal[7, 8] = 8 if classes == "8" else 7
    with _progress("preparing") as progress:
        report = prepare_ferplus(source, out, classes=count, progress=progress)
    _show_prepared(report, out)


@app.command()
def fit(
    data: Annotated[Path, typer.Argument(help="Prepared data folder.", show_default=False)],
    *,
    run: Annotated[Path, typer.Option(help="Folder of the run.", show_default=False)],
    backbone: Annotated[BackboneName | None, typer.Option(help="The network to train.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings as TOML; the options here override them.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the folder, with its settings.")
    ] = False,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training faces at most.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Faces per step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak of the cosine schedule.")] = None,
    width: Annotated[float | None, typer.Option(help="Factor on the channels of an edge network.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    patience: Annotated[int | None, typer.Option(help="Epochs without improvement before the run stops.")] = None,
    precision: Annotated[
        Precision | None, typer.Option(help="Of the training step; the saved model is float32.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Training faces at most, for a quick look.")] = None,
) -> None:
    """Train a network from scratch and leave a run folder that explains itself."""
    settings = _settings(config, run, resume).replace(
        backbone=backbone, epochs=epochs, batch_size=batch_size,
        learning_rate=learning_rate, width=width, seed=seed, patience=patience,
        precision=precision, limit=limit,
    )  # fmt: skip
    _require("pandas", "keras", "matplotlib", "tomli_w")
    from edgeinfer_train import fit as training
    from edgeinfer_train.report import METRICS_FILE

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
    _show_run(run / METRICS_FILE)


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="Run folder, .keras file or .onnx file.", show_default=False)],
    data: Annotated[Path, typer.Argument(help="Prepared data folder.", show_default=False)],
    split: Annotated[
        Split | None,
        typer.Option(help="Default: test, or valid where there is no test.", show_default=False),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here, too.")] = None,
) -> None:
    """Measure a model: loss, accuracy, macro-F1, and recall with counts for each label."""
    _require("pandas", *(() if model.suffix.lower() == ".onnx" else ("keras",)))
    from edgeinfer_train.evaluate import evaluate as measure
    from edgeinfer_train.tables import evaluation_table

    if json_file is not None and not json_file.parent.is_dir():
        raise OutputError(f"the folder {json_file.parent} does not exist; create it first")
    chosen: Split = _default_split(data) if split is None else split
    values = measure(model, data, split=chosen).to_mapping()
    typer.echo(evaluation_table(values))
    if json_file is not None:
        _write_json(values, json_file)


def _settings(config: Path | None, run: Path, resume: bool) -> FitConfig:
    """What the options override: the file named, the run to go on with, or the defaults."""
    if config is not None:
        return load_config(config)
    if resume and (run / "config.toml").is_file():
        return load_config(run / "config.toml")
    return FitConfig()


def _default_split(data: Path) -> Split:
    from edgeinfer_train.data import present_splits, read_info

    if "test" in present_splits(data, read_info(data).labels):
        return "test"
    _say(f"{data} has no test split; measuring on valid, which may have chosen the model")
    return "valid"


def _epoch_line(settings: FitConfig) -> Callable[[History], None]:
    from edgeinfer_train.callbacks import best_epoch

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
    from edgeinfer_train.data import SKIPPED_FILE
    from edgeinfer_train.tables import counts_table, skipped_table

    typer.echo(f"{counts_table(report)}\n\n{skipped_table(report)}")
    if report.skipped:
        typer.echo(f"all of them are in {out / SKIPPED_FILE}")
    typer.echo(
        f"{report.written:,} new files in {out}" if report.written else f"{out} was complete already; nothing written"
    )
    if report.absent:
        _say(f"the source holds no {' and no '.join(report.absent)} images; {out} goes without")
    for split, counts in report.counts.items():
        empty = [label for label, count in counts.items() if not count]
        if empty:
            _say(f"warning: the {split} split has no face of {', '.join(empty)}")


def _show_run(metrics: Path) -> None:
    from edgeinfer_train.tables import evaluation_table

    values = json.loads(metrics.read_text(encoding="utf-8"))
    typer.echo(evaluation_table({**values["validation"], "model": str(metrics.parent / values["validation"]["model"])}))
    typer.echo(f"\nepoch {values['best_epoch']} of {values['epochs']} was kept; everything is in {metrics.parent}")


def _write_json(values: dict[str, Any], path: Path) -> None:
    try:
        path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error


def _say(sentence: str) -> None:
    print(f"edgeinfer-train: {sentence}", file=sys.stderr)


@contextlib.contextmanager
def _progress(description: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _require(*modules: str) -> None:
    """Import what a command needs, without the chatter of native code.

    Raises:
        CapabilityError: a module is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _native_stderr_hidden():
        for module in modules:
            try:
                importlib.import_module(module)
            except ImportError as error:
                missing = error.name or module
                raise CapabilityError(
                    f"this needs {missing}, which is not installed; get it: pip install 'edgeinfer[train]'"
                ) from error


@contextlib.contextmanager
def _native_stderr_hidden() -> Iterator[None]:
    """TensorFlow writes to file descriptor 2 while it loads, before it reads any setting."""
    sys.stderr.flush()
    before = os.dup(2)
    try:
        with tempfile.TemporaryFile() as sink:
            os.dup2(sink.fileno(), 2)
            try:
                yield
            finally:
                sys.stderr.flush()
                os.dup2(before, 2)
    finally:
        os.close(before)


def main() -> NoReturn:
    """Entry point of `edgeinfer-train`."""
    sys.exit(execute(app, "edgeinfer-train"))


if __name__ == "__main__":
    main()
