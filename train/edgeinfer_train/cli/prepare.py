"""The `prepare` command: convert a published data set into the training layout."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from edgeinfer.cli.parameters import GroupedCommand, expand_groups
from edgeinfer.results import LABELS
from edgeinfer.system.identity import NamedPath, files_below
from edgeinfer.system.interrupts import Interrupted
from edgeinfer.system.stderr import silenced
from edgeinfer_train.cli.files import check_outputs
from edgeinfer_train.cli.terminal import print_notice, progress_bar, require_modules
from edgeinfer_train.datasets.options import PrepareOptions, SourceKind
from edgeinfer_train.evaluation.inputs import data_inputs

if TYPE_CHECKING:
    from edgeinfer_train.datasets.prepare.report import PrepareReport

app = typer.Typer(add_completion=False, rich_markup_mode=None)


class _PrepareCommand(GroupedCommand):
    """Command that accepts `--merge DATA DATA` for the kind `merge`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, ["merge" if argument == "--merge" else argument for argument in args])


@app.command(cls=_PrepareCommand)
@expand_groups
def prepare(
    kind: Annotated[
        SourceKind,
        typer.Argument(
            help=f"Layout of the source: {', '.join(get_args(SourceKind))}. merge (or --merge) combines prepared data "
            "folders.",
            show_default=False,
        ),
    ],
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...",
            help="Folder, zip or CSV file as published; for merge, the data folders.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Data folder to write.", show_default=False)],
    *,
    summary: Annotated[
        Path | None,
        typer.Option(help="Draw label counts and sample faces into this .png file.", show_default=False),
    ] = None,
    options: PrepareOptions,
) -> None:
    """Convert a data set into class folders, with a votes file if the source has votes."""
    check_outputs(None, summary, option="summary", inputs=chain(_inputs(sources, options), data_inputs(out)))
    require_modules("pandas", "jinja2", *(() if summary is None else ("matplotlib",)))
    from edgeinfer_train.datasets.prepare import prepare as prepare_data
    from edgeinfer_train.datasets.prepare.writing import SUMMARY_FILE
    from edgeinfer_train.datasets.summary import save_summary
    from edgeinfer_train.datasets.summary_page import save_summary_page

    with (
        _completion_notice(out),
        progress_bar("preparing") as progress,
        # libpng writes messages about damaged pictures to file descriptor 2, which the progress bar also uses.
        contextlib.nullcontext() if progress else silenced(native_only=True),
    ):
        report = prepare_data(kind, sources, out, options, progress)
    _print_report(report, out)
    if report.size and not options.size:
        print_notice(f"the faces had different sizes and were scaled to {report.size}x{report.size}; --size changes it")
    save_summary_page(out, report, out / SUMMARY_FILE)
    typer.echo(f"persons, duplicates, quality and sample faces are in {out / SUMMARY_FILE}")
    if summary is not None:
        save_summary(out, report, summary)
        typer.echo(f"counts and sample faces are in {summary}")


@contextlib.contextmanager
def _completion_notice(out: Path) -> Iterator[None]:
    """Add the remedy to the message of an interruption."""
    try:
        yield
    except Interrupted as interruption:
        interruption.outcome = f"run the same command again to complete {out}"
        raise


def _inputs(sources: Sequence[Path], options: PrepareOptions) -> Iterator[NamedPath]:
    """Yield the files that a preparation may read."""
    for source in sources:
        is_folder = os.path.isdir(source)  # noqa: PTH112 - false for a path that is too long
        yield from files_below("the source", source) if is_folder else [NamedPath("the source", str(source))]
    for role, path in {"the corrections": options.corrections, "the label map": options.label_map}.items():
        if path is not None:
            yield NamedPath(role, str(path))


def _print_report(report: PrepareReport, out: Path) -> None:
    """Print the tables to stdout, warnings to stderr."""
    from edgeinfer_train.cli.tables import counts_table, skipped_table
    from edgeinfer_train.datasets.layout import SKIPPED_FILE
    from edgeinfer_train.datasets.load import read_info
    from edgeinfer_train.datasets.prepare.report import persons_in_several_splits

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
    several = persons_in_several_splits((face.person, face.split) for face in report.faces)
    if several:
        print_notice(f"warning: {several:,} persons are in more than one split")
    for (first, second), number in report.duplicates.items():
        consequence = "; training excludes them" if first == "train" else ""
        print_notice(f"warning: {number:,} {first} faces have the same pixels as a {second} face{consequence}")
