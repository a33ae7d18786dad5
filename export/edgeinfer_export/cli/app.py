"""The command line of the export: parse, call one function, print."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TextIO

import typer

from edgeinfer.errors import CapabilityError
from edgeinfer.system.terminal import execute
from edgeinfer_export.cli.quiet import quiet
from edgeinfer_export.options import (
    CALIBRATION_FACES,
    DEFAULT_LICENSE,
    DEFAULT_MARGIN,
    MARGIN_RANGE,
    MAX_DROP,
    Calibration,
    ExportOptions,
    Quantize,
    Target,
)

if TYPE_CHECKING:
    from edgeinfer_export.publish.best import PassedOver
    from edgeinfer_export.publish.report import ExportReport


PROGRAM = "edgeinfer-export"

app = typer.Typer(
    help="Turns trained models into ONNX files that tell how to use them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Out = Annotated[
    Path,
    typer.Option(
        metavar="MODEL.onnx", help="The file; its report becomes MODEL.json, its card MODEL.md.", show_default=False
    ),
]
MaxDrop = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help=f"Accuracy that fewer bits may cost: int8 is refused above it. Default: {MAX_DROP} for auto."
    ),
]
Labels = Annotated[
    str,
    typer.Option(
        metavar="A,B,…",
        help="Publish these labels alone, in this order; the names of the logits of a model that does not tell them.",
        show_default=False,
    ),
]
Method = Annotated[Calibration, typer.Option(help="How the ranges of activations follow from training faces.")]
Count = Annotated[int, typer.Option(min=1, help="Training faces that set the int8 ranges.")]
Seed = Annotated[int, typer.Option(min=0, help="Draws these faces, and pictures where there is no --data.")]
Margin = Annotated[
    float,
    typer.Option(
        min=MARGIN_RANGE[0],
        max=MARGIN_RANGE[1],
        help="How far the runtime crops beyond a detected box, as a share of its side.",
    ),
]
License = Annotated[str, typer.Option("--license", help="Licence of the weights.")]


@app.command()
def convert(
    source: Annotated[
        Path, typer.Argument(metavar="RUN|FILE.keras", help="A run folder, or a .keras file.", show_default=False)
    ],
    *,
    out: Out,
    quantize: Annotated[
        Quantize, typer.Option(help="auto: the fastest form here that keeps its accuracy. Needs --data, as int8 does.")
    ] = "none",
    data: Annotated[
        Path | None, typer.Option(help="Prepared faces: validation faces judge, training faces calibrate.")
    ] = None,
    max_drop: MaxDrop = None,
    target: Annotated[
        Target | None, typer.Option(help="With auto: choose for this processor by rule, not by time.")
    ] = None,
    labels: Labels = "",
    calibration: Method = "minmax",
    calibration_faces: Count = CALIBRATION_FACES,
    seed: Seed = 0,
    margin: Margin = DEFAULT_MARGIN,
    license_: License = DEFAULT_LICENSE,
) -> None:
    """Convert a model, compare it with Keras, and write it with its card."""
    options = ExportOptions(
        quantize=quantize, max_drop=max_drop, target=target, labels=_names(labels), calibration=calibration,
        calibration_faces=calibration_faces, seed=seed, margin=margin, license=license_,
    )  # fmt: skip
    with _heavy("convert") as stderr:
        from edgeinfer_export.publish.export import export_model

        report = export_model(
            source, out, data=data, options=options, progress=lambda phrase: print(f"{phrase} …", file=stderr)
        )
    _tell(report, out)


@app.command()
def best(
    sources: Annotated[
        list[Path], typer.Argument(metavar="RUN|FILE.keras...", help="What to choose from.", show_default=False)
    ],
    *,
    out: Out,
    data: Annotated[
        Path,
        typer.Option(help="Prepared faces: validation faces judge, training faces calibrate.", show_default=False),
    ],
    max_ms: Annotated[
        float | None, typer.Option(help="Median time of one face on one thread of this machine.", show_default=False)
    ] = None,
    max_mb: Annotated[float | None, typer.Option(help="Size of the file.", show_default=False)] = None,
    quantize: Annotated[Quantize, typer.Option(help="Which forms are tried; auto tries all.")] = "auto",
    labels: Labels = "",
    calibration: Method = "minmax",
    calibration_faces: Count = CALIBRATION_FACES,
    seed: Seed = 0,
    margin: Margin = DEFAULT_MARGIN,
    license_: License = DEFAULT_LICENSE,
) -> None:
    """Export the most accurate form of several runs that fits a budget, and say what was passed over."""
    options = ExportOptions(
        quantize=quantize, labels=_names(labels), calibration=calibration, calibration_faces=calibration_faces,
        seed=seed, margin=margin, license=license_,
    )  # fmt: skip
    with _heavy("best") as stderr:
        from edgeinfer_export.publish.best import Budget, export_best

        report, passed = export_best(
            sources, out, data=data, options=options, budget=Budget(max_ms=max_ms, max_mb=max_mb),
            progress=lambda phrase: print(f"{phrase} …", file=stderr),
        )  # fmt: skip
    _tell(report, out, passed)


@contextlib.contextmanager
def _heavy(command: str) -> Iterator[TextIO]:
    """Silence what the heavy packages say, and name the extra where they are missing.

    Yields:
        A stream that still reaches the user's stderr.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"  # a model trained on another backend converts too
    with quiet() as stderr:
        try:
            import edgeinfer_export.publish.export  # noqa: F401
        except ImportError as error:
            raise CapabilityError(
                f"`{PROGRAM} {command}` needs the export extra: pip install 'edgeinfer[export]' ({error})"
            ) from error
        yield stderr


def _names(labels: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in labels.split(",")) if labels else ()


def _tell(report: ExportReport, out: Path, passed: tuple[PassedOver, ...] = ()) -> None:
    for warning in report.warnings:
        typer.echo(f"{PROGRAM}: warning: {warning}", err=True)
    rows = [["form", "size kB", "accuracy", "macro-F1", "agreement", "p50 ms", "p95 ms", "time", " outcome"]]
    for v in report.variants:
        figures = ["-" if figure is None else f"{figure:.4f}" for figure in (v.accuracy, v.macro_f1, v.agreement)]
        times = [f"{v.p50_ms:.2f}", f"{v.p95_ms:.2f}", f"{v.ratio:.2f}"]
        rows.append([v.name, f"{v.size_bytes / 1000:.1f}", *figures, *times, f" {v.outcome}"])
    for row in rows:
        typer.echo("".join([row[0].ljust(13), *(cell.rjust(10) for cell in row[1:-1]), row[-1]]))
    for name, reason in report.failed.items():
        typer.echo(f"{name}: {reason}")
    for entry in passed:
        typer.echo(f"passed over: {' '.join(filter(None, (entry.source, entry.form)))}: {entry.reason}")
    verdict = report.verdict
    typer.echo(
        f"float32 differs from Keras by {verdict.max_relative_difference:g} relative on "
        f"{verdict.count} pictures; at most {verdict.tolerance:g} is allowed ({verdict.verified})"
    )
    if report.confidence:
        typer.echo(
            f"confidence is off by {report.confidence.error_before:.3f}, after the temperature "
            f"{report.confidence.temperature:g} by {report.confidence.error_after:.3f}"
        )
    typer.echo(f"{out} is the {report.published} form of {report.source}: {report.rule}")


def main() -> NoReturn:
    """Entry point of `edgeinfer-export`."""
    sys.exit(execute(app, PROGRAM))
