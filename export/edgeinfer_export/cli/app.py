"""Commands of `edgeinfer-export`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TextIO

import typer

from edgeinfer.cli.parameters import GroupedCommand, expand_groups
from edgeinfer.cli.terminal import execute, name_flags
from edgeinfer.cli.version import version_option
from edgeinfer.errors import CapabilityError
from edgeinfer.system.stderr import silenced
from edgeinfer_export.options import (
    BestQuantizationOptions,
    Budget,
    CalibrationOptions,
    ExportOptions,
    ModelFileOptions,
    QuantizationOptions,
)

if TYPE_CHECKING:
    from edgeinfer_export.publish.best import Rejection
    from edgeinfer_export.publish.report import ExportReport

PROGRAM = "edgeinfer-export"

app = typer.Typer(
    help="Exports trained models as verified, self-describing ONNX files.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.callback()(version_option)

FILES = "Files"
Out = Annotated[
    Path,
    typer.Option(
        metavar="MODEL.onnx",
        help="Model file to write. The report is written to MODEL.json, the model card to MODEL.md.",
        show_default=False,
        rich_help_panel=FILES,
    ),
]
DataOption = typer.Option(
    help="Prepared data set: validation faces for measurement, training faces for calibration.",
    show_default=False,
    rich_help_panel=FILES,
)


@app.command(cls=GroupedCommand)
@expand_groups
def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|FILE.keras|FILE.onnx",
            help="Run folder, .keras file, Keras 2 .h5 file, or third-party ONNX classifier.",
            show_default=False,
        ),
    ],
    *,
    out: Out,
    data: Annotated[Path | None, DataOption] = None,
    quantization: QuantizationOptions,
    ranges: CalibrationOptions,
    model_file: ModelFileOptions,
) -> None:
    """Convert a model to ONNX, compare it with the original, and write it with its report and model card."""
    options = ExportOptions.combine(quantization, ranges, model_file)
    with _export_environment("convert") as stderr:
        from edgeinfer_export.publish.export import export_model

        report = export_model(
            source, out, data=data, options=options, progress=lambda step: print(f"{step} …", file=stderr)
        )
    _print_report(report, out)


@app.command(cls=GroupedCommand)
@expand_groups
def best(
    sources: Annotated[
        list[Path], typer.Argument(metavar="RUN|FILE.keras...", help="Run folders or .keras files.", show_default=False)
    ],
    *,
    out: Out,
    data: Annotated[Path, DataOption],
    budget: Budget,
    quantization: BestQuantizationOptions,
    ranges: CalibrationOptions,
    model_file: ModelFileOptions,
) -> None:
    """Export the most accurate variant of several runs within a budget, and list the rejected ones."""
    options = ExportOptions.combine(quantization, ranges, model_file)
    with _export_environment("best") as stderr:
        from edgeinfer_export.publish.best import export_best

        report, rejected = export_best(
            sources, out, data=data, options=options, budget=budget,
            progress=lambda step: print(f"{step} …", file=stderr),
        )  # fmt: skip
    _print_report(report, out, rejected)


@contextlib.contextmanager
def _export_environment(command: str) -> Iterator[TextIO]:
    """Silence the output of the export's packages, and check that they are installed.

    Yields:
        A stream that still writes to stderr.

    Raises:
        CapabilityError: A package is missing.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"  # required by the conversion, for models of every backend
    with silenced() as stderr:
        try:
            import edgeinfer_export.publish.export  # noqa: F401
        except ImportError as error:
            raise CapabilityError(
                f"`{PROGRAM} {command}` needs the export extra: pip install 'edgeinfer[export]' ({error})"
            ) from error
        yield stderr


def _print_report(report: ExportReport, out: Path, rejected: tuple[Rejection, ...] = ()) -> None:
    command = typer.main.get_command(app)
    for warning in report.warnings:
        typer.echo(f"{PROGRAM}: warning: {name_flags(warning, command)}", err=True)
    _print_variants(report)
    for name, error in report.failed.items():
        typer.echo(f"{name}: {error}")
    for entry in rejected:
        name = " ".join(filter(None, (entry.source, entry.variant)))
        typer.echo(f"rejected: {name}: {name_flags(entry.reason, command)}")
    verdict, confidence = report.verdict, report.confidence
    typer.echo(
        f"largest relative difference from the original model: {verdict.max_relative_difference:g} on "
        f"{verdict.count} images ({verdict.tolerance:g} allowed; {verdict.verified})"
    )
    if confidence:
        typer.echo(
            f"calibration error of the confidence: {confidence.error_before:.3f}, or {confidence.error_after:.3f} "
            f"with the temperature {confidence.temperature:g}"
        )
    typer.echo(f"{out} is the {report.published} variant of {report.source}: {report.rule}")


def _print_variants(report: ExportReport) -> None:
    rows = [["variant", "size kB", "accuracy", "macro-F1", "agreement", "p50 ms", "p95 ms", "time", " outcome"]]
    for v in report.variants:
        scores = ["-" if value is None else f"{value:.4f}" for value in (v.accuracy, v.macro_f1, v.agreement)]
        times = [f"{v.p50_ms:.2f}", f"{v.p95_ms:.2f}", f"{v.ratio:.2f}"]
        rows.append([v.name, f"{v.size_bytes / 1000:.1f}", *scores, *times, f" {v.outcome}"])
    for row in rows:
        typer.echo("".join([row[0].ljust(13), *(cell.rjust(10) for cell in row[1:-1]), row[-1]]))


def main() -> NoReturn:
    """Run the `edgeinfer-export` command."""
    sys.exit(execute(app, PROGRAM, guarded=False))
