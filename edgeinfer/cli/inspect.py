"""What is here and what it can do: `edgeinfer bench`, `models`, `devices`, `doctor` and `notice`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edgeinfer.errors import one_line

app = typer.Typer(rich_markup_mode=None)


@app.command()
def bench(
    source: Annotated[
        str | None, typer.Argument(help="As for run. Default: the demo clip.", show_default=False)
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write every time that was taken here, too.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model file or name. Default: the bundled int8 model.")] = None,
    detector: Annotated[
        str, typer.Option(metavar="haar|yunet|none", help="What finds the faces; none: the frame is one face.")
    ] = "haar",
    detector_model: Annotated[Path | None, typer.Option(help="ONNX file of the detector; yunet needs it.")] = None,
    cascade: Annotated[
        str | None, typer.Option(help="Name or XML file of a cascade. Default: the frontal face.")
    ] = None,
    detect_every: Annotated[
        str, typer.Option(metavar="auto|N", help="Search by time, or search every n-th whole frame.")
    ] = "auto",
    max_frames: Annotated[int, typer.Option(min=1, help="Measure so many frames, in several passes if need be.")] = 500,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Cores to use. Default: 1 for the model, OpenCV's own choice.")
    ] = None,
) -> None:
    """Measure what a run costs on this machine."""
    from edgeinfer.diagnostics.bench import benchmark, write_report
    from edgeinfer.outputs.base import check_writable
    from edgeinfer.pipeline import parse_detect_every

    if json_file is not None:
        check_writable(json_file)
    report = benchmark(
        source, model=model, detector=detector, detector_model=detector_model, cascade=cascade,
        detect_every=parse_detect_every(detect_every), threads=threads, max_frames=max_frames,
    )  # fmt: skip
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
    from edgeinfer.model.card import DEFAULT_MODEL, bundled_models, find_model, read_card
    from edgeinfer.model.markdown import markdown

    if verify:
        from edgeinfer.model.verify import verify as verified

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
def devices(
    as_json: Annotated[bool, typer.Option("--json", help="A list of objects, for programs.")] = False,
) -> None:
    """List the cameras and what they can send."""
    from edgeinfer.sources.v4l2 import in_words, list_devices

    found = list_devices()
    if as_json:
        typer.echo(json.dumps([asdict(device) for device in found], ensure_ascii=False, indent=1))
        return
    for device in found:
        typer.echo(in_words(device))
    if not found:
        typer.echo(
            "no camera; plug one in, or read a file or a stream. One at a Raspberry Pi's connector needs picamera2"
        )


@app.command()
def doctor() -> None:
    """Check what this installation can do, and say what to do about the rest."""
    from edgeinfer.diagnostics.doctor import run_checks

    findings = run_checks()
    for finding in findings:
        typer.echo(f"{finding.state:8}{finding.name:11}{finding.detail}")
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(3)


@app.command()
def notice(
    operator: Annotated[str, typer.Option(help="Who runs the camera.", show_default=False)],
    contact: Annotated[str, typer.Option(help="Where to ask or object.", show_default=False)],
    purpose: Annotated[str, typer.Option(help="What it is done for.", show_default=False)],
    kept: Annotated[str, typer.Option(help="What is stored, and how long.")] = "nothing",
) -> None:
    """Print a sign for the wall, for the people in view."""
    from edgeinfer.cli.notice import notice as sign

    typer.echo(sign(operator=operator, contact=contact, purpose=purpose, kept=kept), nl=False)
