"""The `label` command: cut out the faces of pictures and clips, with a page to correct their labels."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeinfer.cli.parameters import GroupedCommand
from edgeinfer_train.cli.terminal import print_notice, progress_bar, require_modules
from edgeinfer_train.labels import split_labels

if TYPE_CHECKING:
    from edgeinfer.pipeline import Pipeline

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=GroupedCommand)
def label(
    source: Annotated[Path, typer.Argument(help="Folder of pictures and clips, or one file.", show_default=False)],
    out: Annotated[Path, typer.Option(help="New folder for the crops and the page.", show_default=False)],
    *,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME,...",
            help="Own labels; the crops start unlabelled. Default: the labels and answers of the model.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model that answers first: a name or an ONNX file.")] = None,
    detector: Annotated[str, typer.Option(help="Face detector: haar, yunet or none.")] = "haar",
    detector_model: Annotated[Path | None, typer.Option(help="ONNX file of the detector.")] = None,
    every: Annotated[float, typer.Option(min=0, help="Seconds between two crops of one face in a clip.")] = 1.0,
    min_size: Annotated[int, typer.Option(min=1, help="Minimum size of a face in pixels.")] = 24,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of crops.")] = 2000,
) -> None:
    """Write the faces of pictures and clips into class folders, with a page to correct their labels."""
    require_modules("jinja2")
    from edgeinfer.pipeline import load_pipeline
    from edgeinfer_train.datasets.labelling.crops import LabelSettings
    from edgeinfer_train.datasets.labelling.session import label_faces

    def create_pipeline(track: bool) -> Pipeline:
        return load_pipeline(model=model, detector=detector, detector_model=detector_model, track=track)

    settings = LabelSettings(every, min_size, limit, split_labels([labels] if labels else []))
    with progress_bar("labelling") as progress:
        page, crops = label_faces(source, out, create_pipeline, settings, warn=print_notice, progress=progress)
    for name, count in Counter(crop.label or "no label yet" for crop in crops).most_common():
        typer.echo(f"{count:6,}  {name}")
    if len(crops) >= limit:
        print_notice(f"stopped after {limit:,} faces; raise --limit or --every for more of the source")
    typer.echo(f"open {page} in a browser, correct the labels, save the table, then run:")
    typer.echo(f"edgeinfer-train prepare folder {out} --corrections corrections.csv --out DATA")
