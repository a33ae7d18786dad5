"""`edgeinfer run`: process a source and write the results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from edgeinfer.cli.command import ConfigOption, ReloadableCommand
from edgeinfer.cli.config_file import config_files
from edgeinfer.cli.parameters import build_group, expand_groups
from edgeinfer.errors import UsageError, shown_path
from edgeinfer.options import build
from edgeinfer.options.files import check_files, check_new, output_files
from edgeinfer.options.groups import (
    CaptureOptions,
    ContentOptions,
    DetectionOptions,
    IntegrationOptions,
    LiveOptions,
    ModelOptions,
    OutputOptions,
    RunOptions,
)
from edgeinfer.system import interrupts

if TYPE_CHECKING:
    from edgeinfer.outputs.base import Sink
    from edgeinfer.outputs.summary import RunHeader, RunSummary
    from edgeinfer.results import Frame, Result
    from edgeinfer.sources.base import Capture, Source

app = typer.Typer(add_completion=False, rich_markup_mode=None)


class _RunCommand(ReloadableCommand):
    def check_combination(self, options: dict[str, Any]) -> None:
        build.check_outputs(
            build_group(OutputOptions, options),
            build_group(IntegrationOptions, options),
            build_group(ContentOptions, options),
        )
        check_files(
            build_group(OutputOptions, options),
            [] if options["source"] is None else [options["source"]],
            build_group(ModelOptions, options),
            build_group(DetectionOptions, options),
            config=config_files(options["config"]),
        )
        build.build_capture(build_group(CaptureOptions, options))
        build.build_pipeline(
            build_group(ModelOptions, options), build_group(DetectionOptions, options), continuous=True
        )

    def output_paths(self, options: dict[str, Any]) -> set[str]:
        return {path for _, path in output_files(build_group(OutputOptions, options))}

    def check_outputs(self, options: dict[str, Any], written: set[str]) -> None:
        outputs = build_group(OutputOptions, options)
        check_new(outputs, known=written)
        open_parquet = next((path for path in outputs.out if path.lower().endswith(".parquet")), None)
        if open_parquet is not None:
            raise UsageError(f"the Parquet file {shown_path(open_parquet)} cannot be continued; start the run again")


@app.command(cls=_RunCommand, context_settings={"allow_extra_args": True})
@expand_groups
def run(
    ctx: typer.Context,
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[SOURCE]...",
            help="Video, picture, folder, glob, camera number or stream URL; or several pictures. Default: demo, "
            "the bundled clip.",
            show_default=False,
        ),
    ] = None,
    *,
    outputs: OutputOptions,
    content: ContentOptions,
    detection: DetectionOptions,
    model: ModelOptions,
    capture: CaptureOptions,
    live: LiveOptions,
    integrations: IntegrationOptions,
    control: RunOptions,
    config: ConfigOption = None,
) -> None:
    """Process a source and write the expressions of its faces."""
    from edgeinfer import runner
    from edgeinfer.cli.progress import ProgressBar, format_summary
    from edgeinfer.outputs.base import AfterRun
    from edgeinfer.sources.factory import source_or_demo
    from edgeinfer.system.hardware import limit_opencv_threads
    from edgeinfer.system.thermal import ThermalGovernor

    name = source_or_demo(source)
    settings = build.build_capture(capture)
    sinks = build.build_sinks(outputs, integrations, content, [name, *ctx.args], settings)
    check_files(outputs, [name, *ctx.args], model, detection, config=config_files(config), summary=not control.quiet)
    check_new(outputs, [name, *ctx.args])
    opened = _open(name, ctx.args, live, settings, plays=integrations.preview is not None)

    def report(summary: RunSummary) -> None:
        if not control.quiet:
            text = format_summary(summary, _results(sinks), pictures=not opened.continuous)
            typer.echo(text, err="-" in outputs.out)

    with _reported_after_interruption(report) as latest, opened as frames:
        limit_opencv_threads(model.threads, live=frames.live)
        pipeline = build.build_pipeline(model, detection, continuous=frames.continuous)
        with ProgressBar(frames, control.max_frames, enabled=not control.quiet) as progress, interrupts.guarded():
            governor = None if live.max_temp is None else ThermalGovernor(live.max_temp)

            def after_frame(frame: Frame, result: Result) -> None:
                progress.advance(frame, result)
                if governor:
                    governor.pause(result)

            every_sink = [*sinks, latest]
            summary = runner.run(frames, pipeline, every_sink, max_frames=control.max_frames, on_result=after_frame)
    report(summary)
    for sink in sinks:
        if isinstance(sink, AfterRun):
            sink.after_run()


def _open(name: str, others: Sequence[str], live: LiveOptions, capture: Capture, *, plays: bool) -> Source:
    """Open a source, or several pictures; `plays` shows a file at its own speed."""
    from edgeinfer.sources.factory import open_pictures, open_playback, open_source

    policy = build.build_retry_policy(live)
    if others:
        return open_pictures([name, *others], mode=live.mode, capture=capture)
    if plays and live.mode == "auto":
        return open_playback(name, capture=capture, patience=policy)
    return open_source(name, mode=live.mode, capture=capture, patience=policy)


def _results(sinks: Iterable[Sink]) -> list[str]:
    """Return the path and content of each result of closed sinks."""
    from edgeinfer.outputs.base import ResultWriter

    return [line for sink in sinks if isinstance(sink, ResultWriter) for line in sink.written]


class _LatestSummary:
    """Sink that keeps the summary of a run that is interrupted."""

    def __init__(self) -> None:
        self.summary: Callable[[], RunSummary] | None = None

    def __enter__(self) -> Self:
        return self

    def start(self, header: RunHeader, summary: Callable[[], RunSummary]) -> None:
        """Keep the function that returns the summary."""
        self.summary = summary

    def write(self, frame: Frame, result: Result) -> None:
        """Ignore a frame; the run counts it."""

    def __exit__(self, *_: object) -> None:
        """Keep the summary."""


@contextmanager
def _reported_after_interruption(report: Callable[[RunSummary], None]) -> Iterator[_LatestSummary]:
    """Report the summary of a run that SIGINT or SIGTERM ends; yield the sink that keeps it."""
    latest = _LatestSummary()
    try:
        yield latest
    except interrupts.Interrupted:
        if latest.summary is not None:
            report(latest.summary())
        raise
