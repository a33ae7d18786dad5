"""The `prepare` command: convert a published data set into the training layout."""

from __future__ import annotations

import contextlib
import os
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edgeinfer.cli.parameters import GroupedCommand, expand_groups
from edgeinfer.results import LABELS
from edgeinfer.system.identity import NamedPath, files_below
from edgeinfer.system.stderr import silenced
from edgeinfer_train.cli.files import check_outputs
from edgeinfer_train.cli.terminal import print_notice, progress_bar, require_modules
from edgeinfer_train.datasets.prepare import FolderOptions, SourceKind
from edgeinfer_train.datasets.prepare.ferplus import NeutralRule
from edgeinfer_train.evaluation.inputs import data_inputs
from edgeinfer_train.labels import LabelMode

if TYPE_CHECKING:
    from edgeinfer_train.datasets.prepare.report import PrepareReport

ClassCount = Literal["7", "8"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=GroupedCommand)
@expand_groups
def prepare(
    kind: Annotated[SourceKind, typer.Argument(help="Layout of the source.", show_default=False)],
    source: Annotated[Path, typer.Argument(help="Folder, zip or CSV file as published.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Data folder to write.", show_default=False)],
    *,
    classes: Annotated[
        ClassCount | None,
        typer.Option(help="Number of labels; 8 includes contempt. Default: 7, for folder those of the source."),
    ] = None,
    label_mode: Annotated[
        LabelMode | None,
        typer.Option(
            help="Default label mode of fit and evaluate. Default: votes if the source has votes, else argmax."
        ),
    ] = None,
    neutral_rule: Annotated[
        NeutralRule,
        typer.Option(help="others: if neutral wins, use the strongest other emotion that has a vote (ferplus)."),
    ] = "plurality",
    folds: Annotated[int | None, typer.Option(help="Number of folds by subject (ckplus). Default: 5.")] = None,
    fold: Annotated[int | None, typer.Option(help="Fold used for validation, from 1 (ckplus). Default: 1.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Random seed of the validation split (all but ferplus). Default: 0.")
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option(help="Draw label counts and sample faces into this .png file.", show_default=False),
    ] = None,
    folder: FolderOptions,
) -> None:
    """Convert a data set into class folders, with a votes file if the source has votes."""
    read = files_below("the source", source) if os.path.isdir(source) else [NamedPath("the source", str(source))]  # noqa: PTH112
    corrected = () if folder.corrections is None else (NamedPath("the corrections", str(folder.corrections)),)
    check_outputs(None, summary, option="summary", inputs=chain(read, data_inputs(out), corrected))
    require_modules("pandas", "jinja2", *(() if summary is None else ("matplotlib",)))
    from edgeinfer_train.datasets.prepare import prepare as prepare_data
    from edgeinfer_train.datasets.prepare.writing import SUMMARY_FILE
    from edgeinfer_train.datasets.summary import save_summary
    from edgeinfer_train.datasets.summary_page import save_summary_page

    counts: dict[ClassCount | None, Literal[7, 8] | None] = {"7": 7, "8": 8, None: None}
    # libpng writes messages about damaged pictures to file descriptor 2, which the progress bar also uses.
    with progress_bar("preparing") as progress, contextlib.nullcontext() if progress else silenced(native_only=True):
        report = prepare_data(
            kind, source, out, classes=counts[classes], label_mode=label_mode, neutral_rule=neutral_rule,
            folds=folds, fold=fold, seed=seed, folder=folder, progress=progress,
        )  # fmt: skip
    _print_report(report, out)
    save_summary_page(out, report, out / SUMMARY_FILE)
    typer.echo(f"persons, duplicates, quality and sample faces are in {out / SUMMARY_FILE}")
    if summary is not None:
        save_summary(out, summary)
        typer.echo(f"counts and sample faces are in {summary}")


def _print_report(report: PrepareReport, out: Path) -> None:
    """Print the tables to stdout, warnings to stderr."""
    from edgeinfer_train.cli.tables import counts_table, skipped_table
    from edgeinfer_train.datasets.load import SKIPPED_FILE, read_info

    typer.echo(f"{counts_table(report)}\n\n{skipped_table(report)}")
    if report.skipped:
        typer.echo(f"all skipped rows are in {out / SKIPPED_FILE}")
    typer.echo(f"labels by {read_info(out).protocol()}; splits {report.split_rule}")
    typer.echo(
        f"{report.written:,} new files in {out}" if report.written else f"{out} was already complete; nothing written"
    )
    if report.labels != LABELS:
        print_notice(f"labels of the source: {', '.join(report.labels)}")
    if report.absent:
        print_notice(f"the source has no {' and no '.join(report.absent)} images; {out} lacks these splits")
    for split, counts in report.counts.items():
        empty = [label for label, count in counts.items() if not count]
        if empty:
            print_notice(f"warning: the {split} split has no face of {', '.join(empty)}")
    for (first, second), number in report.duplicates.items():
        consequence = "; training excludes them" if first == "train" else ""
        print_notice(f"warning: {number:,} {first} faces have the same pixels as a {second} face{consequence}")
