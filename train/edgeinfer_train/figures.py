"""Saving a picture with Matplotlib, which is imported when one is drawn and needs no screen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def save_figure(path: Path, size: tuple[float, float], draw: Callable[[Any], None]) -> None:
    """Draw a figure and save it.

    Args:
        path: the .png file.
        size: width and height in inches, at 130 pixels an inch.
        draw: fills an empty matplotlib `Figure`.

    Raises:
        OSError: it cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - slow, and only drawing needs it
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=size)
    FigureCanvasAgg(figure)
    draw(figure)
    figure.savefig(path, dpi=130, bbox_inches="tight", pad_inches=0.2)
