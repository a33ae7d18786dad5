"""Saving of Matplotlib figures. Matplotlib is imported on use and needs no display."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeinfer.system.files import replacing


def save_figure(path: Path, size: tuple[float, float], draw: Callable[[Any], None]) -> None:
    """Draw a figure and save it as PNG.

    Args:
        path: The .png file.
        size: Width and height in inches, at 130 pixels per inch.
        draw: Function that draws on an empty matplotlib `Figure`.

    Raises:
        OSError: The file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - slow import
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=size)
    FigureCanvasAgg(figure)
    draw(figure)
    with replacing(path) as partial:
        figure.savefig(partial, dpi=130, bbox_inches="tight", pad_inches=0.2)
