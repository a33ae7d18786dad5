"""The command line of the runtime: parse, call one function, print."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import cv2
import typer

from edgeinfer.detector import DetectorName
from edgeinfer.errors import EdgeInferError, one_line
from edgeinfer.sources import Mode

if TYPE_CHECKING:
    from edgeinfer.results import Result
    from edgeinfer.rotation import Rotation
    from edgeinfer.sinks import RunSummary, Sink
    from edgeinfer.sources import Frame, Source
    from edgeinfer.watcher import Auto

app = typer.Typer(
    help="Reads perceived facial expressions in video, live, on small computers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class Interrupted(BaseException):
    """A signal asked the program to end.

    Attributes:
        exit_code: 128 plus the signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


@app.command()
def run(
    source: Annotated[
        str | None,
        typer.Argument(
            help="Video, picture, folder, glob, camera number or stream URL. Default: the demo clip.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model file or name. Default: the bundled int8 model.")] = None,
    detector: Annotated[DetectorName, typer.Option(help="What finds the faces; none: the frame is one face.")] = "haar",
    detector_model: Annotated[Path | None, typer.Option(help="ONNX file of the detector; yunet needs it.")] = None,
    cascade: Annotated[
        str | None, typer.Option(help="Name or XML file of a cascade. Default: the frontal face.")
    ] = None,
    out: Annotated[
        list[str] | None, typer.Option(help="Results: .jsonl, .csv, or - for JSONL on stdout. Repeatable.")
    ] = None,
    append: Annotated[
        bool, typer.Option("--append/--no-append", help="Continue older outputs, or empty them.")
    ] = False,
    split_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Begin a new .jsonl or .csv at this size: 500kB, 100MB, 1GB.")
    ] = None,
    split_every: Annotated[
        str | None, typer.Option(metavar="TIME", help="Begin a new .jsonl or .csv by the clock, UTC: 30m, 1h, 1d.")
    ] = None,
    keep: Annotated[
        int | None, typer.Option(min=1, help="Keep so many finished parts. Default: all.", show_default=False)
    ] = None,
    save_video: Annotated[str | None, typer.Option(help="Annotated copy, .mp4.")] = None,
    show: Annotated[bool, typer.Option("--show", help="Show a window; q ends.")] = False,
    mode: Annotated[
        Mode, typer.Option(help="file: every frame; live: the newest one, in real time; auto: live for cameras.")
    ] = "auto",
    detect_every: Annotated[
        str, typer.Option(metavar="auto|N", help="Search for faces by time, or search every n-th whole frame.")
    ] = "auto",
    prior: Annotated[
        str,
        typer.Option(
            metavar="natural|balanced|FILE.json",
            help="How often each expression is expected: as in the training data, all alike, or by given shares.",
        ),
    ] = "natural",
    max_frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Cores to use. Default: 1 for the model, OpenCV's own choice.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no summary.")] = False,
) -> None:
    """Read a source and write what its faces show."""
    from edgeinfer import runner
    from edgeinfer.machine import share_cores
    from edgeinfer.model import asset_path
    from edgeinfer.pipeline import load_pipeline
    from edgeinfer.prior import read_prior
    from edgeinfer.rotation import Rotation
    from edgeinfer.sources import open_source

    outputs = out or []
    rotation = Rotation.parse(split_size, split_every, keep)
    # What may be refused is made before an output file is.
    with open_source(asset_path("demo.mp4") if source is None else source, mode=mode) as frames:
        share_cores(threads, live=frames.live)
        pipeline = load_pipeline(
            model=model, detector=detector, detector_model=detector_model, cascade=cascade,
            detect_every=_detect_every(detect_every) if frames.continuous else "auto", track=frames.continuous,
            threads=threads or 1, prior=read_prior(prior),
        )  # fmt: skip
        sinks = _sinks(outputs, save_video, show, append=append, rotation=rotation)
        with _Progress(frames, max_frames, enabled=not quiet) as progress:
            summary = runner.run(frames, pipeline, sinks, max_frames=max_frames, on_result=progress.advance)
    if not quiet:
        typer.echo(_summary(summary), err="-" in outputs)


@app.command()
def bench(
    source: Annotated[
        str | None, typer.Argument(help="As for run. Default: the demo clip.", show_default=False)
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write every time that was taken here, too.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model file or name. Default: the bundled int8 model.")] = None,
    detector: Annotated[DetectorName, typer.Option(help="What finds the faces; none: the frame is one face.")] = "haar",
    detector_model: Annotated[Path | None, typer.Option(help="ONNX file of the detector; yunet needs it.")] = None,
    max_frames: Annotated[int, typer.Option(min=1, help="Measure so many frames, in several passes if need be.")] = 500,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Cores to use. Default: 1 for the model, OpenCV's own choice.")
    ] = None,
) -> None:
    """Measure what a run costs on this machine."""
    from edgeinfer.bench import benchmark, write_report
    from edgeinfer.sinks import check_writable

    if json_file is not None:
        check_writable(json_file)
    report = benchmark(
        source, model=model, detector=detector, detector_model=detector_model, threads=threads, max_frames=max_frames
    )
    typer.echo(report.table())
    for sentence in report.noise.warnings:
        typer.echo(f"edgeinfer: warning: the machine was noisy: {sentence}", err=True)
    if json_file is not None:
        write_report(report, json_file)


@app.command()
def models(
    model: Annotated[
        str | None, typer.Argument(help="Model file or name; without it, the bundled models are listed.")
    ] = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Check structure, digest and stored answers of the model, or of all bundled."),
    ] = False,
) -> None:
    """List the bundled models, or show one model's card."""
    from edgeinfer.card import markdown
    from edgeinfer.model import DEFAULT_MODEL, bundled_models, find_model, read_card

    if verify:
        from edgeinfer.verify import verify as verified

        for path in bundled_models() if model is None else (find_model(model),):
            for check in verified(path):
                typer.echo(f"{one_line(path.stem)}  {check.name:11}{check.detail}")
        return
    if model is not None:
        typer.echo(markdown(read_card(find_model(model))), nl=False)
        return
    for path in bundled_models():
        card = read_card(path)
        default = "  (default)" if path.name == DEFAULT_MODEL else ""
        typer.echo(f"{card.name}  {card.size_bytes / 1000:.0f} kB  {len(card.labels)} labels  {card.dataset}{default}")


@app.command()
def doctor() -> None:
    """Check what this installation can do, and say what to do about the rest."""
    from edgeinfer.doctor import examine

    findings = examine()
    for finding in findings:
        typer.echo(f"{finding.state:8}{finding.name:10}{finding.detail}")
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(3)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        typer.echo(metadata.version("edgeinfer"))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _detect_every(text: str) -> int | Auto:
    if text == "auto":
        return "auto"
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter("it must be auto, or a number from 1 on", param_hint="--detect-every")
    return int(text)


def _sinks(
    outputs: list[str], save_video: str | None, show: bool, *, append: bool, rotation: Rotation | None
) -> list[Sink]:
    """Open every output, or none."""
    from edgeinfer.errors import UsageError
    from edgeinfer.pictures import VideoSink, WindowSink
    from edgeinfer.sinks import check_target, open_sink

    for target in outputs:
        check_target(target)
    if len({*outputs, *([save_video] if save_video else [])}) < len(outputs) + bool(save_video):
        raise UsageError("two outputs have the same name")
    window: list[Sink] = [WindowSink()] if show else []
    video: list[Sink] = [VideoSink(save_video, append=append)] if save_video else []
    return [*(open_sink(target, append=append, rotation=rotation) for target in outputs), *video, *window]


class _Progress:
    """A bar on a terminal, nothing elsewhere."""

    def __init__(self, source: Source, max_frames: int | None, *, enabled: bool) -> None:
        self._bar = None
        if enabled and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[faces]} faces"),
            )
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            counts = [n for n in (source.frame_count, max_frames) if n is not None]
            self._task = self._bar.add_task("reading", total=min(counts, default=None), faces=0)
            self._faces = 0

    def __enter__(self) -> _Progress:
        if self._bar:
            self._bar.start()
        return self

    def advance(self, frame: Frame, result: Result) -> None:
        """Count one frame."""
        if self._bar:
            self._faces += len(result.faces)
            self._bar.update(self._task, completed=frame.index + 1, faces=self._faces)

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()


def _summary(summary: RunSummary) -> str:
    shares = sorted(summary.labels.items(), key=lambda item: -item[1])
    seen = ", ".join(f"{label} {count / summary.faces:.0%}" for label, count in shares) or "no face found"
    lines = [
        f"{summary.frames} frames, {summary.faces} faces, {summary.fps:.1f} frames/s",
        f"dominant expression: {summary.dominant or 'none'} ({seen})",
    ]
    if summary.delay_ms:
        delay = " and ".join(f"{value:.0f} ms ({name})" for name, value in summary.delay_ms.items())
        lines.append(f"live: {delay} from capture to result, {summary.dropped} frames dropped")
    return "\n".join(lines)


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    # Closing the outputs must not be broken off by impatience.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Interrupted(number)


def execute(application: Callable[[], None], name: str) -> int:
    """Run a command line; turn expected errors into one sentence and an exit code.

    Args:
        application: a typer application; it ends in SystemExit.
        name: of the program, before the sentence.

    Returns:
        The exit code.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    # What OpenCV and FFmpeg have to say comes as one of our own sentences.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    warnings.showwarning = lambda message, *_args, **_kwargs: print(f"{name}: warning: {message}", file=sys.stderr)
    try:
        application()
    except EdgeInferError as error:
        print(f"{name}: {one_line(str(error))}", file=sys.stderr)
        return error.exit_code
    except Interrupted as interruption:
        print(f"{name}: interrupted; every output is closed", file=sys.stderr)
        return interruption.exit_code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except Exception as error:
        print(f"{name}: unexpected {type(error).__name__}: {one_line(str(error))}", file=sys.stderr)
        return 1
    return 0


def main() -> NoReturn:
    """Entry point of `edgeinfer`."""
    sys.exit(execute(app, "edgeinfer"))
