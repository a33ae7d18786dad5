"""The command line of the runtime: parse, call one function, print."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeinfer.cli.config import ENVIRONMENT, ConfigFile, RunCommand, refused_by
from edgeinfer.detection.factory import check_detector
from edgeinfer.expression.prior import read_prior
from edgeinfer.model.card import find_model
from edgeinfer.outputs.factory import check_target
from edgeinfer.outputs.options import Outputs
from edgeinfer.pipeline import Pipeline, load_pipeline, parse_detect_every
from edgeinfer.sources.base import Capture, Mode, Pixels, Turn
from edgeinfer.sources.retry import Patience, parse_retries
from edgeinfer.units import parse_duration, parse_size, parse_size_wh

if TYPE_CHECKING:
    from edgeinfer.results import Frame, Result
app = typer.Typer(rich_markup_mode=None)


class _Run(RunCommand):
    def refuse(self, options: dict[str, Any]) -> None:
        _outputs(**{name: options[name] for name in (f.name for f in fields(Outputs))})
        _capture(**{name: options[name] for name in ("size", "fps", "pixels", "rotate", "flip")})
        names = (
            "model", "detector", "detector_model", "cascade", "detect_every", "prior", "threads", "unknown_below",
        )  # fmt: skip
        _pipeline(**{name: options[name] for name in names}, continuous=True)


@app.command(cls=_Run, context_settings={"auto_envvar_prefix": ENVIRONMENT})
def run(
    source: Annotated[
        str | None,
        typer.Argument(
            help="Video, picture, folder, glob, camera number or stream URL. Default: the demo clip.",
            show_default=False,
            envvar=f"{ENVIRONMENT}_SOURCE",
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
    from edgeinfer.cli.progress import ProgressBar, in_words
    from edgeinfer.model.card import asset_path
    from edgeinfer.sources.factory import open_source
    from edgeinfer.system.hardware import limit_opencv_threads
    from edgeinfer.system.thermal import ThermalGovernor

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
        limit_opencv_threads(threads, live=frames.live)
        pipeline = _pipeline(
            model=model, detector=detector, detector_model=detector_model, cascade=cascade, detect_every=detect_every,
            prior=prior, threads=threads, unknown_below=unknown_below, continuous=frames.continuous,
        )  # fmt: skip
        sinks = outputs.open()
        with ProgressBar(frames, max_frames, enabled=not quiet) as progress:
            cooler = None if max_temp is None else ThermalGovernor(max_temp)

            def after(frame: Frame, result: Result) -> None:
                progress.advance(frame, result)
                if cooler:
                    cooler.rest(result)

            summary = runner.run(frames, pipeline, sinks, max_frames=max_frames, on_result=after)
    if not quiet:
        typer.echo(in_words(summary), err="-" in outputs.out)


def _pipeline(*, detect_every: str, prior: str, threads: int | None, continuous: bool, **options: Any) -> Pipeline:
    every = parse_detect_every(detect_every) if continuous else "auto"
    return load_pipeline(detect_every=every, track=continuous, threads=threads or 1, prior=read_prior(prior), **options)


def _outputs(*, out: list[str] | None, **options: Any) -> Outputs:
    return Outputs(out=tuple(out or ()), **options)


def _capture(*, size: str | None, **options: Any) -> Capture:
    return Capture(size_wh=None if size is None else parse_size_wh(size), **options)
