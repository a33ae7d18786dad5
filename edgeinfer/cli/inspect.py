"""`edgeinfer bench`, `models`, `devices`, `doctor` and `notice`: information about this machine and installation."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edgeinfer.cli.parameters import GroupedCommand, expand_groups
from edgeinfer.errors import one_line
from edgeinfer.options.groups import CaptureOptions, DetectionOptions, ModelOptions

app = typer.Typer(add_completion=False, rich_markup_mode=None)
JsonOption = Annotated[bool, typer.Option("--json", help="Print a JSON list of objects.")]


@app.command(cls=GroupedCommand)
@expand_groups
def bench(
    source: Annotated[
        str | None,
        typer.Argument(help="As for run. Default: demo, the bundled clip.", show_default=False),
    ] = None,
    *,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write all measured times to this file.")
    ] = None,
    max_frames: Annotated[int, typer.Option(min=1, metavar="N", help="Number of frames to measure.")] = 500,
    detection: DetectionOptions,
    model: ModelOptions,
    capture: CaptureOptions,
) -> None:
    """Measure the speed and memory of a run on this machine."""
    from edgeinfer.diagnostics.bench import benchmark, write_report
    from edgeinfer.options.files import input_files
    from edgeinfer.outputs.base import check_writable
    from edgeinfer.system.identity import NamedPath, check_distinct

    if json_file is not None:
        check_writable(json_file)
        output = NamedPath("`json_file`", str(json_file))
        check_distinct([output], input_files([] if source is None else [source], model, detection))
    report = benchmark(source, model=model, detection=detection, capture=capture, max_frames=max_frames)
    typer.echo(report.table())
    for sentence in report.noise.warnings:
        typer.echo(f"edgeinfer: warning: the machine was noisy: {sentence}", err=True)
    if json_file is not None:
        write_report(report, json_file)


@app.command()
def models(
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="Model file or name; without it, the bundled models are listed."),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Check structure, digest and recorded outputs of the model, or of all bundled ones."
        ),
    ] = False,
) -> None:
    """List the bundled models, or print the card of one model."""
    from edgeinfer.model.card import DEFAULT_MODEL, bundled_models, find_model, read_card
    from edgeinfer.model.markdown import markdown

    if verify:
        from edgeinfer.model.verify import verify as run_verification

        for path in bundled_models() if model is None else (find_model(model),):
            for check in run_verification(path):
                typer.echo(f"{one_line(path.stem)}  {check.name:11}{check.detail}")
        return
    if model is not None:
        typer.echo(markdown(read_card(find_model(model))), nl=False)
        return
    cards = {path.name: read_card(path) for path in bundled_models()}
    width = max((len(card.name) for card in cards.values()), default=0)
    for name, card in cards.items():
        default = "  (default)" if name == DEFAULT_MODEL else ""
        typer.echo(
            f"{card.name:{width}}  {card.size_bytes / 1000:.0f} kB  {len(card.labels)} labels  {card.dataset}{default}"
        )


@app.command()
def devices(as_json: JsonOption = False) -> None:
    """List the cameras with their formats, sizes and frame rates."""
    from edgeinfer.sources.v4l2 import format_device, list_devices

    found = list_devices()
    if as_json:
        typer.echo(json.dumps([asdict(device) for device in found], ensure_ascii=False, indent=1))
        return
    for device in found:
        typer.echo(format_device(device))
    if not found:
        typer.echo(
            "no camera found; connect one, or use a file or a stream. Raspberry Pi ribbon cameras need picamera2"
        )


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Check this installation and suggest a remedy for each problem."""
    from edgeinfer.diagnostics.doctor import run_checks

    findings = run_checks()
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False, indent=1))
    else:
        for finding in findings:
            typer.echo(f"{finding.state:8}{finding.name:11}{finding.detail}")
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(3)


@app.command()
def notice(
    operator: Annotated[str, typer.Option(help="Operator of the camera.", show_default=False)],
    contact: Annotated[str, typer.Option(help="Contact for questions and objections.", show_default=False)],
    purpose: Annotated[str, typer.Option(help="Purpose of the processing.", show_default=False)],
    kept: Annotated[str, typer.Option(help="Data that is stored, and for how long.")] = "nothing",
) -> None:
    """Print a notice for the people in view."""
    from edgeinfer.cli.notice import format_notice

    typer.echo(format_notice(operator=operator, contact=contact, purpose=purpose, kept=kept), nl=False)
