"""Picture of a prepared data set: label counts by split, and sample faces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer.errors import OutputError
from edgeinfer.expression.preprocess import model_input
from edgeinfer_train.datasets.layout import Split
from edgeinfer_train.datasets.load import read_image, read_info
from edgeinfer_train.datasets.prepare.report import PrepareReport
from edgeinfer_train.figures import plot_labels, save_figure

SAMPLES = 12
"""Sample faces per label."""
LEVEL_CHARACTERS = 90
"""Number of labels times the length of the longest, up to which they fit side by side."""
_SIDE = 96
_COLOURS: dict[Split, str] = {"train": "#7a8fa6", "valid": "#c8553d", "test": "#d9b44a"}


def save_summary(data: Path, report: PrepareReport, path: Path) -> None:
    """Draw the label counts by split, and below them sample faces of each label.

    Args:
        data: Prepared data folder.
        report: Report of the preparation.
        path: The .png file.

    Raises:
        DataError: A sample face cannot be read.
        OutputError: The picture cannot be written.
    """

    def draw(figure: Any) -> None:
        above, below = figure.subfigures(2, 1, height_ratios=(2.6, 0.62 * len(report.labels)))
        _draw_counts(above, data, report)
        _draw_samples(below, data, report)

    try:
        save_figure(path, (9.5, 2.9 + 0.7 * len(report.labels)), draw)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def _draw_counts(figure: Any, data: Path, report: PrepareReport) -> None:
    info, axes = read_info(data), figure.subplots(gridspec_kw={"bottom": 0.1})
    present = {split: counts for split, counts in report.counts.items() if any(counts.values())}
    width = 0.8 / max(len(present), 1)
    for position, (split, by_label) in enumerate(present.items()):
        counts = [by_label[label] for label in report.labels]
        places = np.arange(len(counts)) + (position - (len(present) - 1) / 2) * width
        bars = axes.bar(places, counts, width, color=_COLOURS[split], label=f"{split} ({sum(counts):,})")
        axes.bar_label(bars, [f"{count:,}" for count in counts], fontsize=7, padding=1)
    names = list(plot_labels(report.labels).values())
    axes.set_xticks(range(len(names)), names)
    if len(names) * max(map(len, names)) > LEVEL_CHARACTERS:
        for text in axes.get_xticklabels():
            text.set(rotation=35, ha="right", rotation_mode="anchor")
    axes.set_ylabel("faces")
    axes.set_title(f"{info.name}: {info.protocol()}", loc="left", fontsize=11)
    axes.margins(y=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="x", length=0)
    axes.legend(edgecolor="none", fontsize=9)


def _draw_samples(figure: Any, data: Path, report: PrepareReport) -> None:
    grid = figure.subplots(len(report.labels), 1)
    for axes, (label, faces) in zip(grid, report.samples(SAMPLES).items(), strict=True):
        sheet = np.full((_SIDE, SAMPLES * _SIDE, 3), 255, np.uint8)
        for place, face in enumerate(faces):
            image = model_input(read_image(data / face.file), size_hw=(_SIDE, _SIDE), colour="rgb")
            sheet[:, place * _SIDE : (place + 1) * _SIDE] = image
        axes.imshow(sheet, interpolation="nearest")
        axes.set_ylabel(plot_labels(report.labels)[label], rotation=0, ha="right", va="center")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        if not faces:
            axes.text(0, _SIDE / 2, "no faces", va="center", color="#b03020")
