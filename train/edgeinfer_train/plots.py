"""Two pictures of a run. Matplotlib is imported when one is drawn, and needs no screen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer_train.callbacks import History
from edgeinfer_train.evaluate import Evaluation

_TRAINING, _VALIDATION, _QUIET = "#7a8fa6", "#c8553d", "#555555"


def curves(history: History, best: int, path: Path) -> None:
    """Draw loss and accuracy over the epochs, with the kept epoch marked.

    Args:
        history: one row an epoch.
        best: position of the kept epoch in it.
        path: the .png file.
    """

    def draw(figure: Any) -> None:
        epochs = [row["epoch"] for row in history]
        for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
            axes.plot(
                epochs,
                [r[name] for r in history],
                color=_TRAINING,
                marker=".",
                label="training (varied faces)",
            )
            axes.plot(epochs, [r[f"val_{name}"] for r in history], color=_VALIDATION, marker=".", label="validation")
            kept = history[best]
            axes.axvline(kept["epoch"], color=_QUIET, linewidth=1, linestyle=":")
            axes.scatter(
                [kept["epoch"]],
                [kept[f"val_{name}"]],
                s=70,
                facecolor="white",
                edgecolor=_VALIDATION,
                linewidth=2,
                zorder=3,
                label=f"kept: epoch {kept['epoch']:.0f}, {kept[f'val_{name}']:.3f}",
            )
            axes.set_xlabel("epoch")
            axes.set_title("loss (nats, soft labels)" if name == "loss" else name)
            axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(color="#e4e4e4", linewidth=0.8)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(edgecolor="none", framealpha=0.95, fontsize=9)

    _save(path, (11, 4.4), draw)


def confusion(evaluation: Evaluation, path: Path) -> None:
    """Draw the confusion matrix: shares of each row as colour and figure, counts below.

    Args:
        evaluation: what to draw.
        path: the .png file.
    """
    counts = np.array(evaluation.metrics.confusion)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), share in np.ndenumerate(shares):
            colour = "white" if share > 0.55 else "#222222" if counts[row, column] else "#bbbbbb"
            axes.text(column, row - 0.1, f"{share:.0%}", ha="center", va="center", color=colour, fontsize=11)
            axes.text(
                column,
                row + 0.22,
                f"{counts[row, column]:,}",
                ha="center",
                va="center",
                color=colour,
                fontsize=7.5,
            )
        names = evaluation.labels
        axes.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), [f"{n} ({t:,})" for n, t in zip(names, totals[:, 0], strict=True)])
        axes.set_xticks(np.arange(len(names) + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(len(names) + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=2)
        axes.tick_params(which="both", length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("answer")
        axes.set_ylabel("label (faces)")
        metrics = evaluation.metrics
        axes.set_title(
            f"{evaluation.dataset} {evaluation.split}: accuracy {metrics.accuracy:.3f}, "
            f"macro-F1 {metrics.macro_f1:.3f}",
            fontsize=11,
            loc="left",
        )
        figure.colorbar(
            picture,
            ax=axes,
            fraction=0.046,
            pad=0.03,
            format=lambda v, _: f"{v:.0%}",
            label="share of the row",
        )

    _save(path, (7.6, 6.4), draw)


def _save(path: Path, size: tuple[float, float], draw: Callable[[Any], None]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - slow to load, and only drawing needs it
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=size)
    FigureCanvasAgg(figure)
    draw(figure)
    figure.savefig(path, dpi=130, bbox_inches="tight", pad_inches=0.2)
