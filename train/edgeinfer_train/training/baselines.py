"""Baselines of a run: the most frequent label, the model from which it started, and the bundled model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeinfer.model.card import find_model
from edgeinfer_train.datasets.load import Faces
from edgeinfer_train.evaluation.evaluate import batches, load_network
from edgeinfer_train.evaluation.metrics import Change, change
from edgeinfer_train.labels import canonical_label
from edgeinfer_train.training.selection import Selection

BUNDLED_ONNX = "edgenet-ferplus8-int8"
Logits = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Baseline:
    """A model to compare a run with, on faces that neither was trained on.

    Attributes:
        name: "constant", "start" or "bundled".
        description: Description for a table.
        accuracy: Accuracy of the baseline, 0..1.
        run_accuracy: Accuracy of the run on the same faces, 0..1; with cross-validation, of the models of the folds.
        count: Number of faces.
        change: Difference of the run from the baseline, with bootstrap intervals.
    """

    name: str
    description: str
    accuracy: float
    run_accuracy: float
    count: int
    change: Change

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def measure_baselines(
    logits: Logits, valid: Faces, train: Faces, labels: tuple[str, ...], selection: Selection | None
) -> tuple[Baseline, ...]:
    """Compare a run with its baselines.

    Args:
        logits: (N, K) logits of the kept model for the validation faces.
        valid: The N validation faces.
        train: Training faces, which determine the most frequent label.
        labels: Labels of the data.
        selection: Predictions of the start and of the run, or None if the run has no start.
    """
    found = []
    kept, truth = (logits, valid.labels) if selection is None else (selection.kept_logits, selection.labels)
    most = int(np.bincount(train.labels, minlength=len(labels)).argmax())
    constant = np.zeros_like(kept)
    constant[:, most] = 1
    found.append(_compare("constant", f"always {labels[most]}", constant, kept, truth))
    if selection is not None:
        found.append(_compare("start", "before training", selection.start_logits, kept, truth))
    found += [
        _compare("bundled", f"bundled {name}", other, logits, valid.labels) for name, other in _bundled(valid, labels)
    ]
    return tuple(found)


def _compare(name: str, description: str, other: Logits, own: Logits, truth: NDArray[np.int64]) -> Baseline:
    before, after = (float((each.argmax(axis=1) == truth).mean()) for each in (other, own))
    return Baseline(name, description, before, after, len(truth), change(other, own, truth))


def _bundled(faces: Faces, labels: tuple[str, ...]) -> Iterator[tuple[str, Logits]]:
    """Yield the name and the logits of the bundled model, if it has all labels."""
    network = load_network(find_model(BUNDLED_ONNX))
    known = [canonical_label(label) for label in network.labels]
    wanted = [canonical_label(label) for label in labels]
    if set(wanted) <= set(known):
        height, width = network.size_hw
        grey = np.stack([cv2.resize(face, (width, height), interpolation=cv2.INTER_AREA) for face in faces.images])
        images = grey.reshape(len(grey), height, width, 1)
        all_logits = np.concatenate([network.logits(batch) for batch in batches(images)])
        yield BUNDLED_ONNX, all_logits[:, [known.index(label) for label in wanted]]
