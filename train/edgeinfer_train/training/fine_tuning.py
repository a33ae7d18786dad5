"""Fine-tuning of a trained model that never ends worse than it starts on the validation faces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from edgeinfer.system.files import replacing
from edgeinfer_train.config import FitConfig
from edgeinfer_train.datasets.load import Faces, concatenate
from edgeinfer_train.networks.model import freeze
from edgeinfer_train.networks.start import Start
from edgeinfer_train.networks.statistics import estimate_statistics
from edgeinfer_train.training.batches import FaceBatches
from edgeinfer_train.training.callbacks import EpochSeedCallback
from edgeinfer_train.training.data import TrainingData
from edgeinfer_train.training.optimizers import training_phases
from edgeinfer_train.training.selection import Candidate, Selection, Weights, candidates, choose, predict
from edgeinfer_train.training.student import Student

Notify = Callable[[str], None]
OUT_OF_FOLD_FILE = "out-of-fold.npy"
"""(candidates, faces, labels) logits of cross-validation, in the state folder of a run."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Weights from which a training starts.

    Attributes:
        start: Weights of the trained model, with its head for the labels of the data.
        adapted: The same with the batch statistics of the training faces; None if the recipe does not adapt, or if the
            head is new, so that the start itself is adapted.
    """

    start: Weights
    adapted: Weights | None

    @property
    def weights(self) -> Weights:
        """Weights of the first training step."""
        return self.start if self.adapted is None else self.adapted


class FineTuning:
    """Training from a trained model, with its evaluation before and after.

    Attributes:
        origin: Weights from which the training starts.
    """

    def __init__(
        self, start: Start, student: Student, data: TrainingData, config: FitConfig, notify: Notify | None
    ) -> None:
        """Take the model over into the student.

        Args:
            start: Trained model.
            student: Networks of the run; their weights are replaced.
            data: Faces of the run.
            config: Resolved settings.
            notify: Callback for sentences about what is taken over, or None.
        """
        self._start, self._student, self._data, self._config = start, student, data, config
        self._notify: Notify = notify or (lambda _: None)
        self.origin, head = self._adopt(data.train)
        self._notify(start.describe(head))
        student.core.set_weights(self.origin.weights)
        self._out_of_fold: list[NDArray[np.float32]] = []

    def _adopt(self, train: Faces) -> tuple[Origin, str]:
        """Return the weights from which a training on some faces starts, and a description of the head."""
        network = self._student.kept
        freeze(network, self._config.trainable_layers)
        self._start.set_body(network)
        labels, adapts = self._data.info.labels, self._config.recipe == "small"
        new_head = self._start.head_columns(labels) is None
        if new_head and adapts:
            _adapt(network, train)
        head = self._start.set_head(network, labels, train.images, train.soft_labels)
        start = network.get_weights()
        if new_head or not adapts:
            return Origin(start, None), head
        _adapt(network, train)
        return Origin(start, network.get_weights()), head

    def cross_validate(self, folder: Path, verbose: int | str = 0) -> None:
        """Train once per fold and keep the predictions for the faces of each fold.

        Args:
            folder: State folder of the run; a resumed run reads the predictions from it.
            verbose: Keras' progress output.
        """
        folds, faces = self._data.folds, self._data.train
        if folds is None:
            return
        path = folder / OUT_OF_FOLD_FILE
        if path.is_file():
            self._out_of_fold = list(np.load(path))
            return
        count, student = int(folds.max()), self._student
        steps = self._config.epochs * -(-len(faces) // self._config.batch_size)
        student.start_phase(training_phases(self._config)[-1], self._config, steps // self._config.epochs)
        logits: list[NDArray[np.float32]] = []
        for fold in range(1, count + 1):
            self._notify(f"cross-validation: fold {fold} of {count}")
            train, test = faces.take(folds != fold), folds == fold
            origin, _ = self._adopt(train)
            student.core.set_weights(origin.weights)
            student.reset_optimizer()
            batches = FaceBatches(
                train, batch_size=self._config.batch_size, mixup=self._config.augment.mixup, seed=self._config.seed
            )
            epochs = max(1, round(steps / len(batches)))
            weights = self._data.class_weights(self._config)
            student.model.fit(
                batches, epochs=epochs, shuffle=False, verbose=verbose, class_weight=weights,
                callbacks=[EpochSeedCallback(batches.start_epoch)],
            )  # fmt: skip
            found = candidates(origin.start, origin.adapted, student.core.get_weights(), self._config.kept_share)
            for index, each in enumerate(predict(student.kept, found, faces.images[test])):
                if len(logits) <= index:
                    logits.append(np.zeros((len(faces), each.shape[1]), np.float32))
                logits[index][test] = each
        self._out_of_fold = logits
        with replacing(path) as partial, partial.open("wb") as file:
            np.save(file, np.stack(logits))
        student.core.set_weights(self.origin.weights)

    def select(self, end: Weights) -> tuple[Candidate, Selection]:
        """Return the best of the start, the end and the weights between both, and their predictions.

        With `kept_share`, the average of this share is returned.

        Args:
            end: Weights after the training.
        """
        found = candidates(self.origin.start, self.origin.adapted, end, self._config.kept_share)
        if self._config.recipe == "full" and self._config.ema_momentum:
            images = self._student.statistics_samples(self._data.train)[-1]
            found = [self._with_statistics(each, images) if each.averaged else each for each in found]
        faces, mask, folds = self._data.valid, None, 0
        logits = predict(self._student.kept, found, faces.images)
        if self._out_of_fold and self._data.folds is not None:
            folds = int(self._data.folds.max())
            mask = np.arange(len(faces) + len(self._data.train)) < len(faces)
            faces = concatenate(faces, self._data.train)
            logits = [np.concatenate(pair) for pair in zip(logits, self._out_of_fold, strict=True)]
        chosen = len(found) - 1 if self._config.kept_share else choose(logits, faces, mask)
        kept = found[chosen]
        self._notify(f"keeps {kept.description}")
        return kept, Selection(kept.description, faces.labels, logits[0], logits[chosen], folds)

    def _with_statistics(self, candidate: Candidate, images: NDArray[np.uint8]) -> Candidate:
        """Return averaged weights with the statistics of faces as the training saw them, which suit them best."""
        network = self._student.kept
        network.set_weights(candidate.weights)
        estimate_statistics(network, images)
        return replace(candidate, weights=network.get_weights())


def _adapt(network: keras.Model, train: Faces) -> None:
    """Replace the batch statistics of a network with those of training faces and their mirror images."""
    estimate_statistics(network, np.concatenate([train.images, train.images[:, :, ::-1]]))
