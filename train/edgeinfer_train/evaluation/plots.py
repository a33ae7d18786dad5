"""Plots of a run, and of a leaderboard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.expression.preprocess import model_input
from edgeinfer_train.datasets.load import read_image
from edgeinfer_train.evaluation.evaluate import Evaluation
from edgeinfer_train.evaluation.metrics import wilson_interval
from edgeinfer_train.figures import GREY, GRID, TRAINING, VALIDATION, plot_labels, save_figure, shorten

if TYPE_CHECKING:
    from edgeinfer_train.evaluation.compare import Entry, Leaderboard
    from edgeinfer_train.evaluation.history import History


_CONFUSION_MAP = ("#ffffff", "#c3d0de", "#7a8fa6", "#26394d")
_MISTAKES_PER_ROW, _FACE_SIDE = 8, 96


def draw_curves(history: History, kept: int | None, path: Path) -> None:
    """Plot loss, accuracy and learning rate over the epochs, with the kept epoch marked.

    Args:
        history: One row per epoch.
        kept: Index of the kept epoch, or None if the kept weights are not those of an epoch.
        path: The .png file.

    Raises:
        OSError: The file cannot be written.
    """

    def draw(figure: Any) -> None:
        panels = figure.subplots(1, 3, gridspec_kw={"width_ratios": (3, 3, 2), "wspace": 0.28})
        for axes, name in zip(panels, ("loss", "accuracy"), strict=False):
            _draw_curve(axes, name, history, kept)
        rates = [row.get("learning_rate", float("nan")) for row in history]
        panels[2].plot([row["epoch"] for row in history], rates, color=GREY, marker=".")
        _style_epochs(panels[2], "learning rate", history, kept)
        handles, labels = panels[1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0.01), ncols=4, frameon=False)

    save_figure(path, (13, 4.2), draw)


def _draw_curve(axes: Any, name: str, history: History, kept: int | None) -> None:
    epochs = [row["epoch"] for row in history]
    axes.plot(epochs, [row[name] for row in history], color=TRAINING, marker=".", label="training (augmented faces)")
    axes.plot(epochs, [row[f"val_{name}"] for row in history], color=VALIDATION, marker=".", label="validation")
    title = "loss (nats)" if name == "loss" else name
    if kept is not None:
        epoch, value = history[kept]["epoch"], history[kept][f"val_{name}"]
        axes.scatter(
            [epoch], [value], s=70, facecolor="white", edgecolor=VALIDATION, linewidth=2, zorder=3,
            label=f"kept: epoch {epoch:.0f}",
        )  # fmt: skip
        title = f"{title}, kept {value:.3f}"
    _style_epochs(axes, title, history, kept)


def _style_epochs(axes: Any, title: str, history: History, kept: int | None) -> None:
    if kept is not None:
        axes.axvline(history[kept]["epoch"], color=GREY, linewidth=1, linestyle=":")
    axes.set_xlabel("epoch")
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlim(history[0]["epoch"] - 0.5, history[-1]["epoch"] + 0.5)
    axes.xaxis.get_major_locator().set_params(integer=True)
    _style(axes)


def _style(axes: Any) -> None:
    axes.grid(color=GRID, linewidth=0.8)
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
    from matplotlib.colors import LinearSegmentedColormap  # noqa: PLC0415 - slow import

    counts = np.array(evaluation.metrics.confusion)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    names, metrics = list(plot_labels(evaluation.labels).values()), evaluation.metrics
    side = max(3.4, 0.72 * len(names))

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        colours = LinearSegmentedColormap.from_list("edgeinfer", _CONFUSION_MAP)
        image = axes.imshow(shares, cmap=colours, vmin=0, vmax=1)
        _draw_cells(axes, counts, shares)
        axes.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), [f"{n} ({t:,})" for n, t in zip(names, totals[:, 0], strict=True)])
        axes.set_xticks(np.arange(len(names) + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(len(names) + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="#eeeeee", linewidth=1.5)
        axes.tick_params(which="both", length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("prediction")
        axes.set_ylabel("label (faces)")
        title = f"accuracy {metrics.accuracy:.3f}, macro-F1 {metrics.macro_f1:.3f}"
        axes.set_title(f"{evaluation.dataset} {evaluation.split}\n{title}", fontsize=11, loc="left")
        figure.colorbar(
            image, ax=axes, fraction=0.046, pad=0.03, format=lambda v, _: f"{v:.0%}", label="share of the row"
        )

    save_figure(path, (side + 1.2, side), draw)


def _draw_cells(axes: Any, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    for (row, column), share in np.ndenumerate(shares):
        colour = "white" if share > 0.55 else "#222222" if counts[row, column] else "#bbbbbb"
        centred = {"ha": "center", "va": "center", "color": colour, "textcoords": "offset points"}
        axes.annotate(f"{share:.0%}", (column, row), (0, 6), fontsize=11, **centred)
        axes.annotate(f"{counts[row, column]:,}", (column, row), (0, -11), fontsize=8, **centred)


def draw_reliability(evaluation: Evaluation, path: Path) -> None:
    """Draw the accuracy of the predictions against their confidence, and the number of predictions.

    Args:
        evaluation: Evaluation to draw.
        path: The .png file.

    Raises:
        OSError: The file cannot be written.
    """
    bins, metrics = evaluation.metrics.reliability, evaluation.metrics
    confidence = [b.confidence for b in bins]

    def draw(figure: Any) -> None:
        above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (3, 1), "hspace": 0.08})
        above.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", label="confidence equals accuracy")
        intervals = [wilson_interval(round(b.accuracy * b.count), b.count) for b in bins]
        above.vlines(confidence, *zip(*intervals, strict=True), color=VALIDATION, alpha=0.5, label="95 % interval")
        above.plot(confidence, [b.accuracy for b in bins], color=VALIDATION, marker="o", label="accuracy")
        above.set_ylabel("accuracy")
        above.set_ylim(-0.03, 1.03)
        error = f"expected calibration error {metrics.calibration_error:.3f}, {metrics.count:,} faces"
        above.set_title(f"{evaluation.dataset} {evaluation.split}\n{error}", loc="left", fontsize=11)
        below.bar(confidence, [b.count for b in bins], width=0.03, color=TRAINING)
        below.set_ylabel("faces")
        below.set_xlabel("confidence")
        below.set_xlim(0, 1.02)
        for axes in (above, below):
            _style(axes)
        handles, labels = above.get_legend_handles_labels()
        figure.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=3, frameon=False,
                      fontsize=9)  # fmt: skip

    save_figure(path, (5.6, 5.6), draw)


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
    mistakes, shown = evaluation.mistakes, plot_labels(evaluation.labels)
    size_hw = (_FACE_SIDE, _FACE_SIDE)
    faces = [model_input(read_image(data / m.file), size_hw=size_hw, colour="rgb") for m in mistakes]
    rows = max(1, -(-len(mistakes) // _MISTAKES_PER_ROW))

    def draw(figure: Any) -> None:
        grid = figure.subplots(rows, _MISTAKES_PER_ROW, squeeze=False, gridspec_kw={"wspace": 0.55, "hspace": 0.65})
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, face, mistake in zip(grid.flat, faces, mistakes, strict=False):
            axes.imshow(face)
            label, answer = shown[mistake.label], shown[mistake.answer]
            caption = {"transform": axes.transAxes, "ha": "center", "va": "top", "fontsize": 7.5}
            axes.text(0.5, -0.05, f"label: {label}", color=GREY, **caption)
            axes.text(0.5, -0.19, f"{answer}  {mistake.confidence:.2f}", color=VALIDATION, **caption)
            axes.set_title(shorten(Path(mistake.file).name, 26), fontsize=6, color=GREY, pad=2)
        figure.suptitle(
            f"{describe_mistakes(evaluation)}\nlabels by {evaluation.label_mode}; predictions in red, with confidence",
            fontsize=11, x=0.125, ha="left", y=0.88 + 0.45 / rows,
        )  # fmt: skip

    save_figure(path, (15, 1.9 * rows), draw)


def describe_mistakes(evaluation: Evaluation) -> str:
    """Return the headline of pictures and pages of mistakes: data set, and the number of mistakes and of faces."""
    metrics, shown = evaluation.metrics, len(evaluation.mistakes)
    total = metrics.count - sum(metrics.confusion[i][i] for i in range(len(evaluation.labels)))
    text = f"the {shown} most confident of {total:,} mistakes" if shown else "no mistakes"
    return f"{evaluation.dataset} {evaluation.split}: {text} in {metrics.count:,} faces"


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
        axes.plot(costs, accuracies, color=VALIDATION, drawstyle="steps-post", label="Pareto front")
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
    colour, (low, high) = VALIDATION if on_front else TRAINING, entry.accuracy_interval
    axes.vlines(cost, low, high, color=colour, linewidth=1, alpha=0.6)
    axes.scatter([cost], [entry.accuracy], color=colour, zorder=3)
    # No run is above and to the left of the front, so the names of its runs fit there.
    offset, side, edge = ((-6, 5), "right", "bottom") if on_front else ((6, -5), "left", "top")
    axes.annotate(
        entry.name, (cost, entry.accuracy), xytext=offset, textcoords="offset points", ha=side, va=edge,
        fontsize=9, color=colour, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
    )  # fmt: skip
