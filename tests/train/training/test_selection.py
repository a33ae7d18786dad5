from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer_train.datasets.load import Faces
from edgeinfer_train.networks.head import calibrated_losses
from edgeinfer_train.training.selection import TRAINED, Selection, candidates, choose

LABELS = np.array([0, 1, 0, 1])


def make_faces() -> Faces:
    return Faces(np.zeros((4, 2, 2, 1), np.uint8), LABELS, np.eye(2, dtype=np.float32)[LABELS], ("a", "b", "c", "d"))


def logits(*margins: float) -> NDArray[np.float32]:
    """Return logits whose margin for the correct label is given."""
    return np.array([[m, 0] if label == 0 else [0, m] for m, label in zip(margins, LABELS, strict=True)], np.float32)


def test_start_is_kept_if_nothing_is_better() -> None:
    assert choose([logits(1, 1, 1, -1), logits(1, 1, -1, -1), logits(0.1, 0.1, 1, -3)], make_faces()) == 0


def test_lower_loss_never_pays_for_accuracy() -> None:
    """Reject a candidate that is wrong about one more face, although its loss is lower."""
    start, sharper, better = logits(0.1, 0.1, 0.1, 0.1), logits(9, 9, 9, -0.1), logits(1, 1, 1, 1)
    targets = np.eye(2, dtype=np.float32)[LABELS]
    assert calibrated_losses(sharper, targets).mean() < calibrated_losses(start, targets).mean()
    assert choose([start, sharper], make_faces()) == 0
    assert choose([start, sharper, better], make_faces()) == 2


def test_accuracy_must_not_fall_on_the_validation_faces_either() -> None:
    start, candidate = logits(1, -1, -1, -1), logits(-1, 5, 5, 5)
    assert choose([start, candidate], make_faces()) == 1
    assert choose([start, candidate], make_faces(), np.array([True, False, False, False])) == 0


def test_loss_does_not_depend_on_the_confidence() -> None:
    targets = np.eye(2, dtype=np.float32)[LABELS]
    losses = [calibrated_losses(factor * logits(1, 2, 1, -1), targets).mean() for factor in (1, 2)]
    assert losses[0] == pytest.approx(losses[1], abs=0.01)


def test_candidates_lead_from_the_adapted_start_to_the_end() -> None:
    start, adapted, end = ([np.full(2, value, np.float32)] for value in (0.0, 1.0, 3.0))
    values = [float(c.weights[0][0]) for c in candidates(start, adapted, end)]
    assert values == [0, 1, 1.5, 2, 2.5, 3]
    assert [float(c.weights[0][0]) for c in candidates(start, None, end)] == [0, 0.75, 1.5, 2.25, 3]


def test_selection_survives_saving(tmp_path: Path) -> None:
    assert Selection.load(tmp_path) is None
    Selection("the start", LABELS, logits(1, 1, 1, 1), logits(2, 2, 2, 2), 3).save(tmp_path)
    loaded = Selection.load(tmp_path)
    assert loaded is not None
    assert (loaded.kept, loaded.folds) == ("the start", 3)
    np.testing.assert_array_equal(loaded.kept_logits, logits(2, 2, 2, 2))


@pytest.mark.parametrize(
    ("kept", "folds", "epoch"),
    [("the start: nothing was better on the validation faces", 0, None), (TRAINED, 0, 4), (TRAINED, 3, 9)],
)
def test_an_epoch_is_kept_only_at_the_end_of_the_training(kept: str, folds: int, epoch: int | None) -> None:
    selection = Selection(kept, LABELS, logits(1, 1, 1, 1), logits(1, 1, 1, 1), folds)
    assert selection.kept_epoch(10, best=4) == epoch
