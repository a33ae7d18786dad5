"""What is made of a trained model: `edgeinfer-train pack` and `narrow`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeinfer.errors import OutputError, UsageError
from edgeinfer_train.cli.terminal import require

app = typer.Typer(rich_markup_mode=None)


@app.command()
def pack(
    model: Annotated[Path, typer.Argument(help="Run folder or .keras file.", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="FILE.keras", help="The smaller file.", show_default=False)],
) -> None:
    """Keep a trained model at half its size, with its weights in float16."""
    _check_model_file(out)
    require("keras")
    from edgeinfer_train.pack import pack as write

    write(model, out)
    typer.echo(f"{out}: {out.stat().st_size / 2**20:.1f} MB")


@app.command()
def narrow(
    model: Annotated[Path, typer.Argument(help="Run folder or .keras file of an edgenet.", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="FILE.keras", help="The narrower network.", show_default=False)],
    width: Annotated[float, typer.Option(help="Its factor on the channels.", show_default=False)],
) -> None:
    """Keep the channels that matter most, to begin the training of a narrower network with."""
    _check_model_file(out)
    require("keras")
    from edgeinfer_train.narrow import narrow as write

    write(model, out, width=width)
    typer.echo(f"{out}: train it with --weights {out}")


def _check_model_file(out: Path) -> None:
    if out.suffix.lower() != ".keras":
        raise UsageError(f"the model is written as .keras, not {out.suffix or out}")
    if not out.parent.is_dir():
        raise OutputError(f"the folder {out.parent} does not exist; create it first")
