"""Saving of Matplotlib figures. Matplotlib is imported on use and needs no display."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgeinfer.system.files import replacing

TRAINING, VALIDATION, GREY, GRID = "#7a8fa6", "#c8553d", "#555555", "#e4e4e4"
"""Colours of all plots: training figures, validation figures, annotations and grid lines."""
FALLBACK_FONTS = ("Noto Sans CJK JP", "Noto Sans CJK SC", "WenQuanYi Zen Hei", "Noto Sans Devanagari", "Noto Sans Thai")
"""Fonts for labels in scripts that Matplotlib's own font lacks; those that are not installed are left out."""
LABEL_CHARACTERS = 18
"""Largest number of characters of a label in a plot."""

_log = logging.getLogger(__name__)


def save_figure(path: Path, size: tuple[float, float], draw: Callable[[Any], None]) -> None:
    """Draw a figure and save it as PNG.

    Args:
        path: The .png file.
        size: Width and height in inches, at 130 pixels per inch.
        draw: Function that draws on an empty matplotlib `Figure`.

    Raises:
        OSError: The file cannot be written.
    """
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - slow import
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context({"text.parse_math": False, "font.family": _families()}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing")
        figure = Figure(figsize=size)
        FigureCanvasAgg(figure)
        draw(figure)
        with replacing(path) as partial:
            figure.savefig(partial, dpi=130, bbox_inches="tight", pad_inches=0.2)


@lru_cache(maxsize=8)
def plot_labels(labels: tuple[str, ...]) -> dict[str, str]:
    """Return each label as plots show it: shortened, or "label 3" for the third one if no font has its characters.

    The first label without a font is logged.
    """
    from matplotlib.font_manager import findfont, get_font  # noqa: PLC0415 - slow import

    characters = set[int]().union(*(get_font(findfont(family)).get_charmap() for family in _families()))
    missing = [label for label in labels if not characters.issuperset(map(ord, label))]
    if missing:
        _log.warning(
            "plots show %d labels by their numbers: no font has all characters of %s; install one, for example "
            "fonts-noto-cjk (pages and tables show the names)",
            len(missing), missing[0],
        )  # fmt: skip
    return {
        label: f"label {number}" if label in missing else shorten(label, LABEL_CHARACTERS)
        for number, label in enumerate(labels, start=1)
    }


def _families() -> list[str]:
    """Return the installed fonts in the order of preference."""
    from matplotlib.font_manager import fontManager  # noqa: PLC0415 - slow import

    installed = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in FALLBACK_FONTS if name in installed)]


def shorten(text: str, length: int) -> str:
    """Return a text of at most `length` characters, with an ellipsis in place of its end if it is longer."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
