"""`edgeinfer batch`: process many recordings."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeinfer.cli.command import ConfigOption, ConfigurableCommand
from edgeinfer.cli.parameters import build_group, expand_groups
from edgeinfer.errors import OutputError, UsageError, shown_path
from edgeinfer.options.fields import option_fields
from edgeinfer.options.groups import (
    BatchOptions,
    ContentOptions,
    DecodingOptions,
    DetectionOptions,
    ModelOptions,
    ResultFormat,
    RunOptions,
)
from edgeinfer.system import interrupts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgeinfer.batch.jobs import WorkerPool, WorkSettings
    from edgeinfer.batch.planning import Plan

app = typer.Typer(add_completion=False, rich_markup_mode=None)
SOME_FAILED = 8
"""Exit code if a source failed."""


class _BatchCommand(ConfigurableCommand):
    table = "batch"
    own = frozenset({"source", "max_frames", *(field.name for field in option_fields(BatchOptions))})

    def check_combination(self, options: dict[str, Any]) -> None:
        from edgeinfer.options.build import build_pipeline

        build_pipeline(build_group(ModelOptions, options), build_group(DetectionOptions, options), continuous=True)


@app.command(cls=_BatchCommand)
@expand_groups
def batch(
    source: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE...",
            help="Videos, pictures, folders, quoted globs with **, @LIST.txt with one path per line, or - for a list "
            "on stdin.",
            show_default=False,
        ),
    ] = None,
    *,
    options: BatchOptions,
    content: ContentOptions,
    detection: DetectionOptions,
    model: ModelOptions,
    decoding: DecodingOptions,
    control: RunOptions,
    config: ConfigOption = None,
) -> None:
    """Process many recordings; a second call continues where the first one ended."""
    from edgeinfer.batch.jobs import WorkSettings
    from edgeinfer.batch.planning import plan_batch
    from edgeinfer.system.paths import local_path

    if not source:
        raise UsageError("no source given: expected videos, pictures, folders, globs or @LIST.txt")
    if not options.out:
        raise UsageError("`out` is required: the folder of the results")
    formats: tuple[ResultFormat, ...] = tuple(dict.fromkeys(options.format)) or ("csv",)
    _check_packages(options, formats)
    folder = local_path(options.out, OutputError)
    plan = plan_batch(source, folder, per_picture=options.per_picture)
    _check_formats(plan, formats)
    if options.dry_run:
        _print_plan(plan, folder, options, formats)
        return
    _report_skipped(plan)
    if options.annotate_videos:
        _report_missing_pyav()
    settings = WorkSettings(model, detection, decoding, content, control.max_frames)
    if _process(plan, folder, options, formats, settings, quiet=control.quiet):
        raise typer.Exit(SOME_FAILED)


def _process(
    plan: Plan,
    folder: Path,
    options: BatchOptions,
    formats: tuple[ResultFormat, ...],
    settings: WorkSettings,
    *,
    quiet: bool,
) -> int:
    """Process a batch, print its summary and return the number of sources that failed."""
    from edgeinfer.batch.copies import annotated_paths
    from edgeinfer.batch.engine import run_batch
    from edgeinfer.batch.planning import rename
    from edgeinfer.batch.settings_key import settings_key
    from edgeinfer.batch.state import BatchState
    from edgeinfer.cli.batch_progress import BatchDisplay, format_batch_summary
    from edgeinfer.units import parse_shard

    copies = annotated_paths(folder, videos=options.annotate_videos, pictures=options.annotate_pictures)
    pool = _create_pool(options, settings)
    state = BatchState(
        folder,
        settings_key=settings_key(settings),
        formats=formats,
        shard=None if options.shard is None else parse_shard(options.shard),
        annotated=copies,
        fresh=options.fresh,
        verify=options.verify,
    )
    with interrupts.guarded(), state:
        plan = rename(plan, folder, state.names)
        if not quiet:
            typer.echo(f"edgeinfer: {pool.description}", err=True)
        with BatchDisplay(enabled=not quiet) as display:
            summary = run_batch(
                plan, state, pool, formats=formats, annotated=copies, max_frames=settings.max_frames,
                on_update=display.update,
            )  # fmt: skip
    if not quiet:
        typer.echo(format_batch_summary(summary, str(options.out)))
    return summary.failed


def _create_pool(options: BatchOptions, settings: WorkSettings) -> WorkerPool:
    from edgeinfer.units import parse_workers

    workers = parse_workers(options.workers)
    if options.ray is None:
        from edgeinfer.batch.local_pool import LocalPool

        return LocalPool(settings, workers)
    from edgeinfer.batch.ray_pool import RayPool

    return RayPool(settings, options.ray, workers)


def _check_formats(plan: Plan, formats: Sequence[ResultFormat]) -> None:
    """Raise `UsageError` if a source would have no result."""
    from edgeinfer.batch.jobs import formats_of

    without = next((source for source in plan.sources if not formats_of(source.kind, formats)), None)
    if without is not None:
        raise UsageError(f"pictures have no subtitles; for {shown_path(without.path)} add `format` csv or jsonl")


def _check_packages(options: BatchOptions, formats: Sequence[ResultFormat]) -> None:
    """Raise `CapabilityError` if an option needs a package that is not installed."""
    if "parquet" in formats:
        from edgeinfer.outputs.parquet_file import import_pyarrow

        import_pyarrow()
    if options.ray is not None:
        from edgeinfer.batch.ray_cluster import import_ray

        import_ray()


def _report_missing_pyav() -> None:
    """Print the sentence about annotated videos without PyAV; the workers' own messages are discarded."""
    from edgeinfer.outputs.video_formats import NO_PYAV, fallback_remark

    if importlib.util.find_spec("av") is None:
        typer.echo(f"edgeinfer: {fallback_remark(NO_PYAV)}", err=True)


def _report_skipped(plan: Plan) -> None:
    """Name the files that are neither videos nor pictures."""
    from edgeinfer.sources.order import listed

    if plan.skipped:
        noun = (
            "file that is neither a video nor a picture"
            if len(plan.skipped) == 1
            else ("files that are neither videos nor pictures")
        )
        typer.echo(f"edgeinfer: skipped {len(plan.skipped):,} {noun}: {listed(plan.skipped, ', ')}", err=True)


def _print_plan(plan: Plan, folder: Path, options: BatchOptions, formats: Sequence[ResultFormat]) -> None:
    """Print the sources with their results, and the skipped files."""
    from edgeinfer.batch.jobs import formats_of
    from edgeinfer.batch.planning import rename
    from edgeinfer.batch.recorded import recorded_names
    from edgeinfer.batch.table import shard_of
    from edgeinfer.units import counted, parse_shard

    plan = rename(plan, folder, recorded_names(folder))
    number, parts = (1, 1) if options.shard is None else parse_shard(options.shard)
    sources = [source for source in plan.sources if shard_of(source.path, parts) == number]
    for source in sources:
        suffixes = formats_of(source.kind, formats)
        results = ", ".join(shown_path(folder / f"{source.result}.{suffix}") for suffix in suffixes)
        typer.echo(f"{shown_path(source.path)} -> {results}")
    for path in plan.skipped:
        typer.echo(f"skipped: {shown_path(path)}")
    typer.echo(f"{counted(len(sources), 'source')}, {counted(len(plan.skipped), 'file')} skipped")
