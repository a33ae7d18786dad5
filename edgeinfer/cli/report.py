"""`edgeinfer report`: a page and a table about results."""

from __future__ import annotations

from typing import Annotated

import typer

from edgeinfer.cli.parameters import GroupedCommand, expand_groups
from edgeinfer.errors import shown_path
from edgeinfer.options.groups import ReportOptions

app = typer.Typer(add_completion=False, rich_markup_mode=None)
_LISTED = 10


@app.command(cls=GroupedCommand)
@expand_groups
def report(
    results: Annotated[
        list[str],
        typer.Argument(
            metavar="RESULT...",
            help="Results of run or batch (.jsonl, .csv, .parquet), or folders of them, such as the folder of a batch.",
        ),
    ],
    *,
    options: ReportOptions,
) -> None:
    """Write an HTML report about results, and a summary as CSV."""
    from edgeinfer.report.create import create_report
    from edgeinfer.system import interrupts

    with interrupts.guarded():
        summary = create_report(results, options)
    if summary.ignored:
        names = ", ".join(shown_path(path) for path in summary.ignored[:_LISTED])
        more = f" and {len(summary.ignored) - _LISTED} more" if len(summary.ignored) > _LISTED else ""
        typer.echo(f"edgeinfer: not a result and left out: {names}{more}", err=True)
    for note in summary.notes:
        typer.echo(f"edgeinfer: {note}", err=True)
    failed = f", {summary.failed:,} failed" if summary.failed else ""
    if options.out is not None:
        recordings = f"{summary.recordings:,} recording{'' if summary.recordings == 1 else 's'}"
        typer.echo(f"{shown_path(options.out)}: {recordings}{failed}")
    if options.csv is not None:
        typer.echo(f"{shown_path(options.csv)}: {summary.rows:,} row{'' if summary.rows == 1 else 's'}")
