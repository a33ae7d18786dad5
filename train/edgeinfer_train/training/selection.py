"""Choice between the start of a run, its end, and the weights between both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edgeinfer.system.files import replacing
from edgeinfer_train.datasets.load import Faces
from edgeinfer_train.networks.head import calibrated_losses
from edgeinfer_train.networks.start import blend

Weights = list[NDArray[Any]]
SHARES = (0.25, 0.5, 0.75, 1.0)
"""Positions between the start and the end that are evaluated; 1 is the end."""
SELECTION_FILE = "selection.npz"
TRAINED = "the trained network"
"""Description of the candidate at the end of the training."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Weights that a run may keep.

    Attributes:
        description: Origin of the weights, for the sentence "kept ...".
        weights: Weights of the network.
        averaged: True for weights between the start and the end.
    """

    description: str
    weights: Weights
    averaged: bool = False


@dataclass(frozen=True, slots=True)
class Selection:
    """Predictions of the start and of the kept model on the same faces, none of which either was trained on.

    Attributes:
        kept: Sentence about the kept weights.
        labels: (N,) label of each face.
        start_logits: (N, K) logits of the start.
        kept_logits: (N, K) logits of the kept model; with cross-validation, of the models of the folds.
        folds: Number of cross-validation folds; 0 if all faces are validation faces.
    """

    kept: str
    labels: NDArray[np.int64]
    start_logits: NDArray[np.float32]
    kept_logits: NDArray[np.float32]
    folds: int = 0

    def save(self, folder: Path) -> None:
        """Write the selection into the state folder of a run."""
        with replacing(folder / SELECTION_FILE) as partial, partial.open("wb") as file:
            np.savez(
                file, kept=self.kept, labels=self.labels, start_logits=self.start_logits, kept_logits=self.kept_logits,
                folds=self.folds,
            )  # fmt: skip

    def kept_epoch(self, epochs: int, best: int) -> int | None:
        """Return the index of the epoch whose weights are kept, or None for the start and for averages.

        Args:
            epochs: Number of epochs.
            best: Index of the best one by the validation metric. Cross-validation ends at the last one instead.
        """
        if self.kept != TRAINED:
            return None
        return epochs - 1 if self.folds else best

    @classmethod
    def load(cls, folder: Path) -> Selection | None:
        """Read the selection from the state folder of a run, or return None if it has none."""
        if not (folder / SELECTION_FILE).is_file():
            return None
        with np.load(folder / SELECTION_FILE) as values:
            return cls(
                str(values["kept"]),
                values["labels"],
                values["start_logits"],
                values["kept_logits"],
                int(values["folds"]),
            )


def candidates(start: Weights, adapted: Weights | None, end: Weights, only: float = 0.0) -> list[Candidate]:
    """Return the start, the adapted start if there is one, and weights on the way from it to the end.

    Args:
        start: Weights of the start.
        adapted: Weights of the start with the pixel statistics of the training faces, if those are better.
        end: Weights after the training.
        only: Only position between the start and the end, 0..1; 0 for those in `SHARES`.
    """
    found = [Candidate("the start: nothing was better on the validation faces", start)]
    origin = start
    if adapted is not None:
        origin = adapted
        found.append(Candidate("the start with the pixel statistics of these faces", adapted))
    for share in (only,) if only else SHARES:
        text = TRAINED if share == 1 else f"the average of start and trained network, {share:.0%} trained"
        found.append(Candidate(text, blend(origin, end, share), averaged=share < 1))
    return found


def predict(network: keras.Model, found: Sequence[Candidate], images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """Return the (N, K) logits of each candidate; the network ends with the weights of the last one."""
    logits = []
    for candidate in found:
        network.set_weights(candidate.weights)
        logits.append(np.asarray(network.predict(images, batch_size=256, verbose=0), np.float32))
    return logits


def choose(logits: Sequence[NDArray[np.float32]], faces: Faces, valid: NDArray[np.bool_] | None = None) -> int:
    """Return the index of the best candidate; the first one is the start.

    The best candidate has the lowest loss at its best temperature, because the export calibrates the confidence, among
    those whose accuracy is at least that of the start.

    Args:
        logits: (N, K) logits of each candidate.
        faces: The N faces, with their labels.
        valid: (N,) mask of the faces on which the accuracy must not fall either; None for all.
    """
    masks = [np.ones(len(faces), bool)] if valid is None else [np.ones(len(faces), bool), valid]

    def accuracies(index: int) -> NDArray[np.float64]:
        correct = logits[index].argmax(axis=1) == faces.labels
        return np.array([correct[mask].mean() if mask.any() else 0.0 for mask in masks])

    losses = [float(calibrated_losses(each, faces.soft_labels).mean()) for each in logits]
    start = accuracies(0)
    allowed = [index for index in range(len(logits)) if (accuracies(index) >= start).all()]
    return min(allowed, key=losses.__getitem__)
