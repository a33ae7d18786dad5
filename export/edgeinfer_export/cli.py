"""The command line of the export: parse, call one function, print."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from edgeinfer.cli import execute
from edgeinfer.errors import CapabilityError
from edgeinfer_export.options import (
    CALIBRATION_FACES,
    DEFAULT_LICENSE,
    DEFAULT_MARGIN,
    MARGIN_RANGE,
    ExportOptions,
    Quantize,
)
from edgeinfer_export.quiet import quiet

if TYPE_CHECKING:
    from edgeinfer_export.report import ExportReport

PROGRAM = "edgeinfer-export"

app = typer.Typer(
    help="Turns trained models into ONNX files that tell how to use them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def convert(
    source: Annotated[
        Path,
        typer.Argument(metavar="RUN|FILE.keras", help="A run folder, or its .keras file.", show_default=False),
    ],
    *,
    out: Annotated[
        Path,
        typer.Option(metavar="MODEL.onnx", help="The file; its report becomes MODEL.json.", show_default=False),
    ],
    quantize: Annotated[Quantize, typer.Option(help="int8 is a quarter of the size and needs --data.")] = "none",
    data: Annotated[
        Path | None, typer.Option(help="Prepared faces: validation faces judge, training faces calibrate.")
    ] = None,
    calibration_faces: Annotated[
        int, typer.Option(min=1, help="Training faces that set the int8 ranges.")
    ] = CALIBRATION_FACES,
    seed: Annotated[int, typer.Option(min=0, help="Of the random pictures used without --data.")] = 0,
    margin: Annotated[
        float,
        typer.Option(
            min=MARGIN_RANGE[0],
            max=MARGIN_RANGE[1],
            help="How far the runtime crops beyond a detected box, as a share of its side.",
        ),
    ] = DEFAULT_MARGIN,
    license_: Annotated[str, typer.Option("--license", help="Licence of the weights.")] = DEFAULT_LICENSE,
) -> None:
    """Convert a model, compare it with Keras, and write it with its card."""
    options = ExportOptions(
        quantize=quantize, calibration_faces=calibration_faces, seed=seed, margin=margin, license=license_
    )
    os.environ["KERAS_BACKEND"] = "tensorflow"  # a model trained on another backend converts too
    with quiet() as stderr:
        try:
            from edgeinfer_export.export import export_model
        except ImportError as error:
            raise CapabilityError(
                f"`{PROGRAM} convert` needs the export extra: pip install 'edgeinfer[export]' ({error})"
            ) from error
        report = export_model(
            source, out, data=data, options=options, progress=lambda phrase: print(f"{phrase} …", file=stderr)
        )
    for warning in report.warnings:
        typer.echo(f"{PROGRAM}: warning: {warning}", err=True)
    typer.echo(_summary(report, out))


@app.callback()
def _commands() -> None:
    # With a callback typer asks for the command's name even while there is only one.
    pass


def _summary(report: ExportReport, out: Path) -> str:
    rows = [["variant", "size kB", "accuracy", "macro-F1", "agreement", "p50 ms"]]
    for v in report.variants:
        figures = ["-" if figure is None else f"{figure:.4f}" for figure in (v.accuracy, v.macro_f1, v.agreement)]
        rows.append([v.name, f"{v.size_bytes / 1000:.1f}", *figures, f"{v.latency_ms:.2f}"])
    lines = ["".join([row[0].ljust(8), *(cell.rjust(11) for cell in row[1:])]) for row in rows]
    verdict = report.verdict
    lines += [
        f"float32 differs from Keras by {verdict.max_relative_difference:g} relative on "
        f"{verdict.count} pictures; at most {verdict.tolerance:g} is allowed ({verdict.verified})",
        f"{out} is the {report.variants[-1].name} one",
    ]
    return "\n".join(lines)


def main() -> NoReturn:
    """Entry point of `edgeinfer-export`."""
    sys.exit(execute(app, PROGRAM))
