from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer_train.evaluation import plots
from edgeinfer_train.evaluation.compare import Entry, Leaderboard
from edgeinfer_train.evaluation.evaluate import Evaluation, Mistake
from edgeinfer_train.evaluation.metrics import score

EIGHT = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt")


def row(epoch: int) -> dict[str, float]:
    return {"epoch": epoch, "loss": 2 / epoch, "accuracy": 0.5, "val_loss": 1 / epoch, "val_accuracy": 0.6}


@pytest.mark.parametrize("epochs", [1, 2, 60])
def test_curves_of_any_length(tmp_path: Path, epochs: int) -> None:
    plots.draw_curves([row(n + 1) for n in range(epochs)], epochs // 2, tmp_path / "curves.png")
    assert cv2.imread(str(tmp_path / "curves.png")) is not None


def test_the_matrix_shows_shares_of_rows(tmp_path: Path) -> None:
    """A label that is always met is dark on the diagonal; one without faces is drawn, and empty."""
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
    darkest = np.array([107, 48, 8])  # the dark end of the colour map, BGR
    share = (np.abs(picture.astype(int) - darkest).max(axis=2) < 3).mean()
    assert 0.03 < share < 0.15


@pytest.mark.parametrize("count", [0, 1, 9, 40])
def test_every_mistake_shows_its_face(tmp_path: Path, count: int) -> None:
    """Red squares stand for the faces, so that their area tells how many are drawn."""
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
    side = 125  # pixels of one face
    assert red == pytest.approx(count * side**2, rel=0.1)


def entry(name: str, accuracy: float, millions: int) -> Entry:
    return Entry(
        name=name, accuracy=accuracy, accuracy_interval=(accuracy - 0.01, accuracy + 0.01), macro_f1=0.5,
        parameters=10, multiply_adds=millions * 10**6, size_bytes=100, latencies_ms={},
    )  # fmt: skip


def test_the_front_stands_out(tmp_path: Path) -> None:
    """The line of the front gets longer with a second run on it, not with one that is beaten."""
    small, large, worse = entry("small", 0.7, 1), entry("large", 0.8, 100), entry("worse", 0.69, 200)
    orange = []
    for number, entries in enumerate([(large, small), (large, small, worse), (large, worse)]):
        board = Leaderboard(
            dataset="Toy", split="valid", label_mode="x", count=10, machine="m", entries=entries
        )  # fmt: skip
        plots.draw_accuracy_against_cost(board, tmp_path / f"{number}.png")
        picture = cv2.imread(str(tmp_path / f"{number}.png"))
        assert picture is not None
        orange.append(int((np.abs(picture.astype(int) - (0x3D, 0x55, 0xC8)).max(axis=2) < 3).sum()))
    assert orange[0] > 2 * orange[2]
    assert orange[1] == pytest.approx(orange[0], rel=0.1)
