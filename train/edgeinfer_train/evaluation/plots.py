"""Plots of a run, and of a leaderboard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.expression.preprocess import model_input
from edgeinfer_train.datasets.load import read_image
from edgeinfer_train.evaluation.evaluate import Evaluation
from edgeinfer_train.figures import save_figure

if TYPE_CHECKING:
    from edgeinfer_train.evaluation.compare import Entry, Leaderboard
    from edgeinfer_train.evaluation.history import History


_TRAINING, _VALIDATION, _GREY, _GRID = "#7a8fa6", "#c8553d", "#555555", "#e4e4e4"
_MISTAKES_PER_ROW, _FACE_SIDE = 8, 96


def draw_curves(history: History, best: int, path: Path) -> None:
    """Plot loss and accuracy over the epochs, with the kept epoch marked.

    Args:
        history: One row per epoch.
        best: Index of the kept epoch.
        path: The .png file.

    Raises:
        OSError: The file cannot be written.
    """

    def draw(figure: Any) -> None:
        for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
            _draw_curve(axes, name, history, best)

    save_figure(path, (11, 4.4), draw)


def _draw_curve(axes: Any, name: str, history: History, best: int) -> None:
    epochs = [row["epoch"] for row in history]
    training, validation = [row[name] for row in history], [row[f"val_{name}"] for row in history]
    axes.plot(epochs, training, color=_TRAINING, marker=".", label="training (augmented faces)")
    axes.plot(epochs, validation, color=_VALIDATION, marker=".", label="validation")
    kept = history[best]
    axes.axvline(kept["epoch"], color=_GREY, linewidth=1, linestyle=":")
    axes.scatter(
        [kept["epoch"]], [kept[f"val_{name}"]], s=70, facecolor="white", edgecolor=_VALIDATION, linewidth=2, zorder=3,
        label=f"kept: epoch {kept['epoch']:.0f}, {kept[f'val_{name}']:.3f}",
    )  # fmt: skip
    axes.set_xlabel("epoch")
    axes.set_title("loss (nats)" if name == "loss" else name)
    axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
    axes.xaxis.get_major_locator().set_params(integer=True)
    _style(axes)
    axes.legend(edgecolor="none", framealpha=0.95, fontsize=9)


def _style(axes: Any) -> None:
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def draw_confusion(evaluation: Evaluation, path: Path) -> None:
    """Draw the confusion matrix: the share of each row as colour and percentage, with the count below.

    Args:
        evaluation: Evaluation to draw.
        path: The .png file.

    Raises:
        OSError: The file cannot be written.
    """
    counts = np.array(evaluation.metrics.confusion)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    names, metrics = evaluation.labels, evaluation.metrics

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        _draw_cells(axes, counts, shares)
        axes.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), [f"{n} ({t:,})" for n, t in zip(names, totals[:, 0], strict=True)])
        axes.set_xticks(np.arange(len(names) + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(len(names) + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=2)
        axes.tick_params(which="both", length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("prediction")
        axes.set_ylabel("label (faces)")
        title = f"accuracy {metrics.accuracy:.3f}, macro-F1 {metrics.macro_f1:.3f}"
        axes.set_title(f"{evaluation.dataset} {evaluation.split}: {title}", fontsize=11, loc="left")
        figure.colorbar(
            image, ax=axes, fraction=0.046, pad=0.03, format=lambda v, _: f"{v:.0%}", label="share of the row"
        )

    save_figure(path, (7.6, 6.4), draw)


def _draw_cells(axes: Any, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    for (row, column), share in np.ndenumerate(shares):
        colour = "white" if share > 0.55 else "#222222" if counts[row, column] else "#bbbbbb"
        centred = {"ha": "center", "va": "center", "color": colour}
        axes.text(column, row - 0.1, f"{share:.0%}", fontsize=11, **centred)
        axes.text(column, row + 0.22, f"{counts[row, column]:,}", fontsize=7.5, **centred)


def draw_mistakes(evaluation: Evaluation, data: Path, path: Path) -> None:
    """Draw the most confident mistakes with label, prediction, confidence and file name.

    Args:
        evaluation: Evaluation to draw.
        data: Prepared data folder of the evaluation.
        path: The .png file.

    Raises:
        DataError: A face cannot be read.
        OSError: The file cannot be written.
    """
    mistakes, metrics = evaluation.mistakes, evaluation.metrics
    total = metrics.count - sum(metrics.confusion[i][i] for i in range(len(evaluation.labels)))
    size_hw = (_FACE_SIDE, _FACE_SIDE)
    faces = [model_input(read_image(data / m.file), size_hw=size_hw, colour="rgb") for m in mistakes]
    rows = max(1, -(-len(mistakes) // _MISTAKES_PER_ROW))

    def draw(figure: Any) -> None:
        grid = figure.subplots(rows, _MISTAKES_PER_ROW, squeeze=False, gridspec_kw={"wspace": 0.25, "hspace": 0.6})
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, face, mistake in zip(grid.flat, faces, mistakes, strict=False):
            axes.imshow(face)
            axes.text(
                0.5, -0.04,
                f"label {mistake.label}\npredicted {mistake.answer} {mistake.confidence:.3f}",
                transform=axes.transAxes, ha="center", va="top", fontsize=7.5,
            )  # fmt: skip
            axes.set_title(Path(mistake.file).name, fontsize=5.5, color=_GREY, pad=2)
        shown = f"the {len(mistakes)} most confident of {total:,} mistakes" if mistakes else "no mistakes"
        figure.suptitle(
            f"{evaluation.dataset} {evaluation.split}: {shown} in {metrics.count:,} faces\n"
            f"labels by {evaluation.label_mode}; predictions with their confidence",
            fontsize=11, x=0.125, ha="left", y=0.88 + 0.35 / rows,
        )  # fmt: skip

    save_figure(path, (12, 1.9 * rows), draw)


def draw_accuracy_against_cost(leaderboard: Leaderboard, path: Path) -> None:
    """Plot accuracy with its interval against cost on a logarithmic scale, with the Pareto front.

    Args:
        leaderboard: Leaderboard to draw.
        path: The .png file.

    Raises:
        OSError: The file cannot be written.
    """
    kind, front = leaderboard.cost, leaderboard.front[::-1]

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        costs, accuracies = [e.cost(kind) for e in front], [e.accuracy for e in front]
        axes.plot(costs, accuracies, color=_VALIDATION, drawstyle="steps-post", label="Pareto front")
        for entry in leaderboard.entries:
            _draw_entry(axes, entry, entry.cost(kind), on_front=entry in front)
        axes.set_xscale("log")
        axes.margins(x=0.2, y=0.12)
        latency = "latency of one face on one thread (ms)"
        axes.set_xlabel("multiply-adds per face" if kind == "multiply_adds" else latency)
        axes.set_ylabel("accuracy, with 95 % interval")
        measured = f"{leaderboard.dataset} {leaderboard.split}, {leaderboard.count:,} faces"
        axes.set_title(f"{measured}, labels by {leaderboard.label_mode}", loc="left", fontsize=11)
        _style(axes)
        axes.legend(edgecolor="none", loc="lower right")

    save_figure(path, (8.4, 5.2), draw)


def _draw_entry(axes: Any, entry: Entry, cost: float, *, on_front: bool) -> None:
    colour, (low, high) = _VALIDATION if on_front else _TRAINING, entry.accuracy_interval
    axes.vlines(cost, low, high, color=colour, linewidth=1, alpha=0.6)
    axes.scatter([cost], [entry.accuracy], color=colour, zorder=3)
    # No run is above and to the left of the front, so the names of its runs fit there.
    offset, side, edge = ((-6, 5), "right", "bottom") if on_front else ((6, -5), "left", "top")
    axes.annotate(
        entry.name, (cost, entry.accuracy), xytext=offset, textcoords="offset points", ha=side, va=edge,
        fontsize=9, color=colour, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
    )  # fmt: skip
