from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer_train import plots
from edgeinfer_train.evaluate import Evaluation
from edgeinfer_train.metrics import score

EIGHT = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt")


def row(epoch: int) -> dict[str, float]:
    return {"epoch": epoch, "loss": 2 / epoch, "accuracy": 0.5, "val_loss": 1 / epoch, "val_accuracy": 0.6}


@pytest.mark.parametrize("epochs", [1, 2, 60])
def test_curves_of_any_length(tmp_path: Path, epochs: int) -> None:
    plots.curves([row(n + 1) for n in range(epochs)], epochs // 2, tmp_path / "curves.png")
    assert cv2.imread(str(tmp_path / "curves.png")) is not None


def test_the_matrix_shows_shares_of_rows(tmp_path: Path) -> None:
    """A label that is always met is dark on the diagonal; one without faces is drawn, and empty."""
    labels = np.repeat(np.arange(7), 10)
    evaluation = Evaluation(
        model="m",
        dataset="Toy",
        split="valid",
        label_mode="x",
        labels=EIGHT,
        metrics=score(np.eye(8)[labels], labels, EIGHT),
    )
    plots.confusion(evaluation, tmp_path / "confusion.png")
    picture = cv2.imread(str(tmp_path / "confusion.png"))
    assert picture is not None
    darkest = np.array([107, 48, 8])  # the dark end of the colour map, BGR
    share = (np.abs(picture.astype(int) - darkest).max(axis=2) < 3).mean()
    assert 0.03 < share < 0.15
