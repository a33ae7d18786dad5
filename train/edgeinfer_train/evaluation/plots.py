"""The pictures of a run, and the one of several."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeinfer.expression.preprocess import model_input
from edgeinfer_train.datasets.load import read_image
from edgeinfer_train.evaluation.evaluate import Evaluation
from edgeinfer_train.figures import save_figure

if TYPE_CHECKING:
    from edgeinfer_train.evaluation.compare import Leaderboard
    from edgeinfer_train.evaluation.history import History


_TRAINING, _VALIDATION, _QUIET = "#7a8fa6", "#c8553d", "#555555"
_MISTAKES_A_ROW, _SIDE = 8, 96


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
            axes.set_title("loss (nats)" if name == "loss" else name)
            axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(color="#e4e4e4", linewidth=0.8)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(edgecolor="none", framealpha=0.95, fontsize=9)

    save_figure(path, (11, 4.4), draw)


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

    save_figure(path, (7.6, 6.4), draw)


def mistakes(evaluation: Evaluation, data: Path, path: Path) -> None:
    """Draw the most confident mistakes, each with its label, the answer, the confidence and the file's name.

    Args:
        evaluation: what to draw.
        data: the prepared folder that it was measured on.
        path: the .png file.

    Raises:
        DataError: a face cannot be read.
        OSError: the picture cannot be written.
    """
    found, metrics = evaluation.mistakes, evaluation.metrics
    wrong = metrics.count - sum(metrics.confusion[i][i] for i in range(len(evaluation.labels)))
    faces = [model_input(read_image(data / m.file), size_hw=(_SIDE, _SIDE), colour="rgb") for m in found]
    rows = max(1, -(-len(found) // _MISTAKES_A_ROW))

    def draw(figure: Any) -> None:
        grid = figure.subplots(rows, _MISTAKES_A_ROW, squeeze=False, gridspec_kw={"wspace": 0.25, "hspace": 0.6})
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, face, mistake in zip(grid.flat, faces, found, strict=False):
            axes.imshow(face)
            axes.text(
                0.5, -0.04,
                f"label {mistake.label}\nanswer {mistake.answer} {mistake.confidence:.3f}",
                transform=axes.transAxes, ha="center", va="top", fontsize=7.5,
            )  # fmt: skip
            axes.set_title(Path(mistake.file).name, fontsize=5.5, color=_QUIET, pad=2)
        shown = f"the {len(found)} most confident of {wrong:,} mistakes" if found else "no mistake"
        figure.suptitle(
            f"{evaluation.dataset} {evaluation.split}: {shown} in {metrics.count:,} faces\n"
            f"labels by {evaluation.label_mode}; behind each answer its confidence",
            fontsize=11, x=0.125, ha="left", y=0.88 + 0.35 / rows,
        )  # fmt: skip

    save_figure(path, (12, 1.9 * rows), draw)


def accuracy_against_cost(leaderboard: Leaderboard, path: Path) -> None:
    """Draw accuracy, with its interval, against cost on a logarithmic scale, and the front of the best.

    Args:
        leaderboard: what to draw.
        path: the .png file.

    Raises:
        OSError: it cannot be written.
    """
    kind, front = leaderboard.cost, leaderboard.front[::-1]

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        costs, accuracies = [e.cost(kind) for e in front], [e.accuracy for e in front]
        axes.plot(costs, accuracies, color=_VALIDATION, drawstyle="steps-post", label="no run beats these on both")
        for entry in leaderboard.entries:
            colour, (low, high) = _VALIDATION if entry in front else _TRAINING, entry.accuracy_interval
            cost = entry.cost(kind)
            axes.vlines(cost, low, high, color=colour, linewidth=1, alpha=0.6)
            axes.scatter([cost], [entry.accuracy], color=colour, zorder=3)
            # Above and to the left of the front there is no run, so its names find room there.
            place, side, edge = ((-6, 5), "right", "bottom") if entry in front else ((6, -5), "left", "top")
            axes.annotate(
                entry.name, (cost, entry.accuracy), xytext=place, textcoords="offset points", ha=side, va=edge,
                fontsize=9, color=colour, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
            )  # fmt: skip
        axes.set_xscale("log")
        axes.margins(x=0.2, y=0.12)
        axes.set_xlabel("multiply-adds of one face" if kind == "multiply_adds" else "ms for one face on one thread")
        axes.set_ylabel("accuracy, with 95 % interval")
        measured = f"{leaderboard.dataset} {leaderboard.split}, {leaderboard.count:,} faces"
        axes.set_title(f"{measured}, labels by {leaderboard.label_mode}", loc="left", fontsize=11)
        axes.grid(color="#e4e4e4", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(edgecolor="none", loc="lower right")

    save_figure(path, (8.4, 5.2), draw)
