from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinfer_train import figures
from edgeinfer_train.evaluation import plots
from edgeinfer_train.evaluation.compare import Entry, Leaderboard
from edgeinfer_train.evaluation.evaluate import Evaluation, Mistake
from edgeinfer_train.evaluation.metrics import score
from edgeinfer_train.evaluation.mistakes_page import write_mistakes_page

EIGHT = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt")


def row(epoch: int) -> dict[str, float]:
    return {"epoch": epoch, "loss": 2 / epoch, "accuracy": 0.5, "val_loss": 1 / epoch, "val_accuracy": 0.6}


@pytest.mark.parametrize(("epochs", "kept"), [(1, 0), (2, None), (60, 30)])
def test_curves_are_drawn_for_any_number_of_epochs(tmp_path: Path, epochs: int, kept: int | None) -> None:
    plots.draw_curves([row(n + 1) for n in range(epochs)], kept, tmp_path / "curves.png")
    assert cv2.imread(str(tmp_path / "curves.png")) is not None


NAMES = ("neutral", "très fatigué", "bored $x$", "улыбка", "びっくり", "a < b & c", *(f"label {n}" for n in range(6)))


def evaluate_labels(names: tuple[str, ...]) -> Evaluation:
    labels = np.repeat(np.arange(len(names)), 10)
    logits = np.random.default_rng(0).normal(0, 1, (len(labels), len(names))) + 2 * np.eye(len(names))[labels]
    return Evaluation(
        model="m", dataset="Toy", split="valid", label_mode="x", prior="natural", labels=names,
        metrics=score(logits, labels, names), mistakes=(Mistake("face.png", names[0], names[-1], 0.9),) * 3,
    )  # fmt: skip


@pytest.mark.parametrize("count", [2, 3, 5, 12])
def test_plots_and_pages_of_any_labels(tmp_path: Path, count: int) -> None:
    """Check that no name is parsed as a formula or as HTML, and that a missing glyph causes no warning."""
    evaluation = evaluate_labels(NAMES[-count:] if count == 2 else NAMES[:count])
    assert cv2.imwrite(str(tmp_path / "face.png"), np.zeros((20, 20), np.uint8))
    plots.draw_confusion(evaluation, tmp_path / "confusion.png")
    plots.draw_reliability(evaluation, tmp_path / "reliability.png")
    plots.draw_mistakes(evaluation, tmp_path, tmp_path / "mistakes.png")
    for name in ("confusion", "reliability", "mistakes"):
        assert cv2.imread(str(tmp_path / f"{name}.png")) is not None
    write_mistakes_page(evaluation, tmp_path, tmp_path / "mistakes.html")
    page = (tmp_path / "mistakes.html").read_text(encoding="utf-8")
    assert page.count("<img") == 3
    assert escape(evaluation.labels[-1]) in page


def test_labels_without_a_font_are_shown_as_numbers(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(figures, "FALLBACK_FONTS", ())
    figures.plot_labels.cache_clear()
    shown = figures.plot_labels(("müde", "怒り", "سعيد", "悲しみ", "x" * 40))
    assert list(shown.values()) == ["müde", "label 2", "سعيد", "label 4", "x" * 17 + "…"]
    (record,) = caplog.records
    assert "plots show 2 labels by their numbers: no font has all characters of 怒り" in record.getMessage()
    figures.plot_labels.cache_clear()


def test_confusion_matrix_shows_row_shares(tmp_path: Path) -> None:
    """Check that correct labels are dark on the diagonal and that a label without faces has an empty row."""
    labels = np.repeat(np.arange(7), 10)
    evaluation = Evaluation(
        model="m",
        dataset="Toy",
        split="valid",
        label_mode="x",
        prior="natural",
        labels=EIGHT,
        metrics=score(np.eye(8)[labels], labels, EIGHT),
        mistakes=(),
    )
    plots.draw_confusion(evaluation, tmp_path / "confusion.png")
    picture = cv2.imread(str(tmp_path / "confusion.png"))
    assert picture is not None
    darkest = np.array([77, 57, 38])  # the dark end of the colour map, BGR
    share = (np.abs(picture.astype(int) - darkest).max(axis=2) < 3).mean()
    assert 0.03 < share < 0.15


@pytest.mark.parametrize("count", [0, 1, 9, 40])
def test_each_mistake_is_drawn(tmp_path: Path, count: int) -> None:
    """Count the faces drawn by the red area: each face is a red square."""
    assert cv2.imwrite(str(tmp_path / "face.png"), np.full((20, 20, 3), (0, 0, 255), np.uint8))
    labels = np.zeros(50, dtype=np.int64)
    evaluation = Evaluation(
        model="m",
        dataset="Toy",
        split="valid",
        label_mode="x",
        prior="natural",
        labels=EIGHT,
        metrics=score(np.eye(8)[labels], labels, EIGHT),
        mistakes=(Mistake("face.png", "neutral", "happy", 0.9),) * count,
    )
    plots.draw_mistakes(evaluation, tmp_path, tmp_path / "mistakes.png")
    picture = cv2.imread(str(tmp_path / "mistakes.png"))
    assert picture is not None
    red = (picture == (0, 0, 255)).all(axis=2).sum()
    if count == 0:
        assert red == 0
    else:
        # The width of a face depends on the number of rows, which share the height of the figure.
        sizes = [stats[cv2.CC_STAT_AREA] for stats in faces_of(picture)]
        assert len(sizes) == count
        assert min(sizes) > 80**2


def faces_of(picture: Any) -> Any:
    """Return the statistics of each connected red area."""
    red = (picture == (0, 0, 255)).all(axis=2).astype(np.uint8)
    return cv2.connectedComponentsWithStats(red)[2][1:]


def entry(name: str, accuracy: float, millions: int) -> Entry:
    return Entry(
        name=name, accuracy=accuracy, accuracy_interval=(accuracy - 0.01, accuracy + 0.01), macro_f1=0.5,
        parameters=10, multiply_adds=millions * 10**6, size_bytes=100, latencies_ms={},
    )  # fmt: skip


def test_pareto_front_is_highlighted(tmp_path: Path) -> None:
    """Check that a second run on the front extends its line and that a dominated run does not."""
    small, large, worse = entry("small", 0.7, 1), entry("large", 0.8, 100), entry("worse", 0.69, 200)
    front_pixels = []
    for number, entries in enumerate([(large, small), (large, small, worse), (large, worse)]):
        board = Leaderboard(
            dataset="Toy", split="valid", label_mode="x", count=10, machine="m", entries=entries
        )  # fmt: skip
        plots.draw_accuracy_against_cost(board, tmp_path / f"{number}.png")
        picture = cv2.imread(str(tmp_path / f"{number}.png"))
        assert picture is not None
        front_pixels.append(int((np.abs(picture.astype(int) - (0x3D, 0x55, 0xC8)).max(axis=2) < 3).sum()))
    assert front_pixels[0] > 2 * front_pixels[2]
    assert front_pixels[1] == pytest.approx(front_pixels[0], rel=0.1)
