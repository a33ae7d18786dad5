"""Picture of a prepared data set: label counts by split, and sample faces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer.errors import OutputError
from edgeinfer.expression.preprocess import model_input
from edgeinfer_train.datasets.load import DatasetInfo, Split, present_splits, read_image, read_info, split_files
from edgeinfer_train.figures import save_figure

SAMPLES = 12
"""Sample faces per label."""
_SIDE = 96
_COLOURS: dict[Split, str] = {"train": "#7a8fa6", "valid": "#c8553d", "test": "#d9b44a"}


def save_summary(data: Path, path: Path) -> None:
    """Draw the label counts by split, and below them sample faces spaced evenly over the sorted names.

    Args:
        data: Prepared data folder.
        path: The .png file.

    Raises:
        DataError: The folder is not prepared, or a face cannot be read.
        OutputError: The picture cannot be written.
    """
    info = read_info(data)
    files = {split: split_files(data, split, info.labels) for split in present_splits(data, info.labels)}

    def draw(figure: Any) -> None:
        above, below = figure.subfigures(2, 1, height_ratios=(2.6, 0.62 * len(info.labels)))
        _draw_counts(above, info, files)
        _draw_samples(below, data, info, files)

    try:
        save_figure(path, (9.5, 2.9 + 0.7 * len(info.labels)), draw)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def _draw_counts(figure: Any, info: DatasetInfo, files: dict[Split, list[tuple[str, int]]]) -> None:
    axes = figure.subplots(gridspec_kw={"bottom": 0.1})
    width = 0.8 / max(len(files), 1)
    for position, (split, found) in enumerate(files.items()):
        counts = np.bincount([label for _, label in found], minlength=len(info.labels))
        places = np.arange(len(counts)) + (position - (len(files) - 1) / 2) * width
        bars = axes.bar(places, counts, width, color=_COLOURS[split], label=f"{split} ({len(found):,})")
        axes.bar_label(bars, [f"{count:,}" for count in counts], fontsize=7, padding=1)
    axes.set_xticks(range(len(info.labels)), info.labels)
    axes.set_ylabel("faces")
    axes.set_title(f"{info.name}: {info.protocol()}", loc="left", fontsize=11)
    axes.margins(y=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="x", length=0)
    axes.legend(edgecolor="none", fontsize=9)


def _draw_samples(figure: Any, data: Path, info: DatasetInfo, files: dict[Split, list[tuple[str, int]]]) -> None:
    grid = figure.subplots(len(info.labels), 1)
    for index, (axes, label) in enumerate(zip(grid, info.labels, strict=True)):
        names = [name for found in files.values() for name, other in found if other == index]
        step = max(len(names) / SAMPLES, 1)
        sheet = np.full((_SIDE, SAMPLES * _SIDE, 3), 255, np.uint8)
        for place in range(min(SAMPLES, len(names))):
            face = model_input(read_image(data / names[int(place * step)]), size_hw=(_SIDE, _SIDE), colour="rgb")
            sheet[:, place * _SIDE : (place + 1) * _SIDE] = face
        axes.imshow(sheet, interpolation="nearest")
        axes.set_ylabel(label, rotation=0, ha="right", va="center")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        if not names:
            axes.text(0, _SIDE / 2, "no faces", va="center", color="#b03020")
