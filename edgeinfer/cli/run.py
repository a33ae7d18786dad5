"""The command line of the runtime: parse, call one function, print."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import cv2
import typer

from edgeinfer import cli_config, cli_inspect, cli_service
from edgeinfer.cli_config import ConfigFile, refused_by
from edgeinfer.detector import check_detector
from edgeinfer.errors import EdgeInferError, one_line
from edgeinfer.frames import Capture, Turn, parse_size_wh
from edgeinfer.model import find_model
from edgeinfer.outputs import Outputs
from edgeinfer.patience import Patience, parse_retries
from edgeinfer.pipeline import Pipeline, load_pipeline, parse_detect_every
from edgeinfer.prior import read_prior
from edgeinfer.rotation import parse_duration, parse_size
from edgeinfer.signals import Interrupted, end_on_signals
from edgeinfer.sinks import check_target
from edgeinfer.sources import Mode
from edgeinfer.stdin import Pixels

if TYPE_CHECKING:
    from edgeinfer.results import Result
    from edgeinfer.sources import Frame

app = typer.Typer(
    help="Reads perceived facial expressions in video, live, on small computers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(cli_inspect.app)
app.add_typer(cli_config.app, name="config")
app.add_typer(cli_service.app, name="service")


class _Run(cli_config.RunCommand):
    def refuse(self, options: dict[str, Any]) -> None:
        _outputs(**{name: options[name] for name in (f.name for f in fields(Outputs))})
        _capture(**{name: options[name] for name in ("size", "fps", "pixels", "rotate", "flip")})
        names = (
            "model", "detector", "detector_model", "cascade", "detect_every", "prior", "threads", "unknown_below",
        )  # fmt: skip
        _pipeline(**{name: options[name] for name in names}, continuous=True)


@app.command(cls=_Run, context_settings={"auto_envvar_prefix": cli_config.ENVIRONMENT})
def run(
    source: Annotated[
        str | None,
        typer.Argument(
            help="Video, picture, folder, glob, camera number or stream URL. Default: the demo clip.",
            show_default=False,
            envvar=f"{cli_config.ENVIRONMENT}_SOURCE",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Model file or name. Default: the bundled int8 model.", callback=refused_by(find_model)),
    ] = None,
    detector: Annotated[
        str,
        typer.Option(
            metavar="haar|yunet|none",
            help="What finds the faces; none: the frame is one face.",
            callback=refused_by(check_detector),
        ),
    ] = "haar",
    detector_model: Annotated[Path | None, typer.Option(help="ONNX file of the detector; yunet needs it.")] = None,
    cascade: Annotated[
        str | None, typer.Option(help="Name or XML file of a cascade. Default: the frontal face.")
    ] = None,
    out: Annotated[
        list[str] | None,
        typer.Option(
            help="Results: .jsonl, .csv, or - for JSONL on stdout. Repeatable.", callback=refused_by(check_target)
        ),
    ] = None,
    append: Annotated[
        bool, typer.Option("--append/--no-append", help="Continue older outputs, or empty them.")
    ] = False,
    split_size: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Begin a new .jsonl or .csv at this size: 500kB, 100MB, 1GB.",
            callback=refused_by(parse_size),
        ),
    ] = None,
    split_every: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Begin a new .jsonl or .csv by the clock, UTC: 30m, 1h, 1d.",
            callback=refused_by(parse_duration),
        ),
    ] = None,
    keep: Annotated[
        int | None, typer.Option(min=1, help="Keep so many finished parts. Default: all.", show_default=False)
    ] = None,
    save_video: Annotated[str | None, typer.Option(help="Annotated copy, .mp4.")] = None,
    blur_faces: Annotated[
        bool, typer.Option("--blur-faces/--no-blur-faces", help="Make faces unrecognizable in every picture.")
    ] = False,
    show: Annotated[bool, typer.Option("--show/--no-show", help="Show a window; q ends.")] = False,
    anonymous: Annotated[
        bool, typer.Option("--anonymous/--no-anonymous", help="Write counts by the minute; no box, no picture.")
    ] = False,
    webhook: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Post an event here when a face appears, changes or leaves.",
        ),
    ] = None,
    mqtt: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Tell a broker of states and events: mqtt://[NAME:PASSWORD@]HOST[/TOPIC]."),
    ] = None,
    ha: Annotated[bool, typer.Option("--ha/--no-ha", help="Have Home Assistant find it at the broker.")] = False,
    preview: Annotated[
        str | None,
        typer.Option(metavar="[HOST:]PORT", help="Serve a page with the live picture, for this machine unless told."),
    ] = None,
    preview_token: Annotated[
        str | None, typer.Option(metavar="TOKEN", help="What the page asks its visitors for.", show_default=False)
    ] = None,
    snapshots: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Annotated pictures of faces that appear or change.")
    ] = None,
    snapshots_keep: Annotated[int, typer.Option(min=1, metavar="N", help="Keep so many of them.")] = 1000,
    snapshots_age: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Keep each so long: 12h, 7d.", callback=refused_by(parse_duration)),
    ] = None,
    mode: Annotated[
        Mode, typer.Option(help="file: every frame; live: the newest one, in real time; auto: live for cameras.")
    ] = "auto",
    detect_every: Annotated[
        str,
        typer.Option(
            metavar="auto|N",
            help="Search for faces by time, or search every n-th whole frame.",
            callback=refused_by(parse_detect_every),
        ),
    ] = "auto",
    prior: Annotated[
        str,
        typer.Option(
            metavar="natural|balanced|FILE.json",
            help="How often each expression is expected: as in the training data, all alike, or by given shares.",
            callback=refused_by(read_prior),
        ),
    ] = "natural",
    unknown_below: Annotated[
        float, typer.Option(min=0, max=1, metavar="P", help="Call a face unknown when its expression is less likely.")
    ] = 0.0,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="WxH", help="Asked of a camera; of raw frames on stdin.", callback=refused_by(parse_size_wh)
        ),
    ] = None,
    fps: Annotated[float | None, typer.Option(min=0.1, max=1000, help="Asked of a camera; of frames on stdin.")] = None,
    pixels: Annotated[
        Pixels | None, typer.Option(help="Layout of raw frames on stdin. Default: MJPEG.", show_default=False)
    ] = None,
    rotate: Annotated[Turn, typer.Option(help="Degrees clockwise; auto: as the file says of itself.")] = "auto",
    flip: Annotated[bool, typer.Option("--flip/--no-flip", help="Mirror left and right.")] = False,
    retries: Annotated[
        str | None,
        typer.Option(
            metavar="N|forever",
            help="Tries in a row to open a live source. Default: none at the start, 5 after it was lost.",
            callback=refused_by(parse_retries),
        ),
    ] = None,
    stall_timeout: Annotated[
        float,
        typer.Option(min=0.1, max=3600, metavar="SECONDS", help="Without a frame for so long, a live source stalled."),
    ] = 5.0,
    max_frames: Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Cores to use. Default: 1 for the model, OpenCV's own choice.")
    ] = None,
    max_temp: Annotated[
        float | None,
        typer.Option(min=1, max=150, metavar="CELSIUS", help="Look less often while the processor is hotter."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet/--no-quiet", help="No progress and no summary.")] = False,
    config: ConfigFile = None,
) -> None:
    """Read a source and write what its faces show."""
    from edgeinfer import runner
    from edgeinfer.heat import Cooler
    from edgeinfer.machine import share_cores
    from edgeinfer.model import asset_path
    from edgeinfer.progress import ProgressBar, in_words
    from edgeinfer.sources import open_source

    outputs = _outputs(
        out=out, append=append, split_size=split_size, split_every=split_every, keep=keep, save_video=save_video,
        blur_faces=blur_faces, show=show, anonymous=anonymous, webhook=webhook, mqtt=mqtt, ha=ha, preview=preview,
        preview_token=preview_token, snapshots=snapshots, snapshots_keep=snapshots_keep, snapshots_age=snapshots_age,
    )  # fmt: skip
    # What may be refused is made before an output file is.
    named = asset_path("demo.mp4") if source is None else source
    wanted = _capture(size=size, fps=fps, pixels=pixels, rotate=rotate, flip=flip)
    patience = Patience(stall_s=stall_timeout, retries=None if retries is None else parse_retries(retries))
    with open_source(named, mode=mode, capture=wanted, patience=patience) as frames:
        share_cores(threads, live=frames.live)
        pipeline = _pipeline(
            model=model, detector=detector, detector_model=detector_model, cascade=cascade, detect_every=detect_every,
            prior=prior, threads=threads, unknown_below=unknown_below, continuous=frames.continuous,
        )  # fmt: skip
        sinks = outputs.open()
        with ProgressBar(frames, max_frames, enabled=not quiet) as progress:
            cooler = None if max_temp is None else Cooler(max_temp)

            def after(frame: Frame, result: Result) -> None:
                progress.advance(frame, result)
                if cooler:
                    cooler.rest(result)

            summary = runner.run(frames, pipeline, sinks, max_frames=max_frames, on_result=after)
    if not quiet:
        typer.echo(in_words(summary), err="-" in outputs.out)


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


def _pipeline(*, detect_every: str, prior: str, threads: int | None, continuous: bool, **options: Any) -> Pipeline:
    every = parse_detect_every(detect_every) if continuous else "auto"
    return load_pipeline(detect_every=every, track=continuous, threads=threads or 1, prior=read_prior(prior), **options)


def _outputs(*, out: list[str] | None, **options: Any) -> Outputs:
    return Outputs(out=tuple(out or ()), **options)


def _capture(*, size: str | None, **options: Any) -> Capture:
    return Capture(size_wh=None if size is None else parse_size_wh(size), **options)


def execute(application: Callable[[], None], name: str) -> int:
    """Run a command line; turn expected errors into one sentence and an exit code.

    Args:
        application: a typer application; it ends in SystemExit.
        name: of the program, before the sentence.

    Returns:
        The exit code.
    """
    end_on_signals()
    # What OpenCV and FFmpeg have to say comes as one of our own sentences.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    warnings.showwarning = lambda message, *_args, **_kwargs: print(f"{name}: warning: {message}", file=sys.stderr)
    if logging.lastResort:
        logging.lastResort.setFormatter(logging.Formatter(f"{name}: %(message)s"))
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
