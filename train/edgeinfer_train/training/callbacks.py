"""Keras callbacks for training: random seeds, validation and checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edgeinfer.expression.probabilities import log_softmax
from edgeinfer_train.datasets.load import Faces
from edgeinfer_train.errors import DivergedError
from edgeinfer_train.evaluation.history import History
from edgeinfer_train.networks.statistics import estimate_statistics
from edgeinfer_train.training.state import TrainingState


class EpochSeedCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Callback that reseeds all random sources at the start of each epoch, from the seed and the epoch number.

    A resumed run therefore uses the same order, mixup and augmentation as an uninterrupted one.
    """

    def __init__(self, start_epoch: Callable[[int], None]) -> None:
        super().__init__()
        self._start_epoch = start_epoch

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Reseed the batches and all layers of the model."""
        self._start_epoch(epoch)
        for variable in self.model.variables:
            if variable.name == "seed_generator_state":
                seed = int(keras.ops.convert_to_numpy(variable)[0])
                variable.assign(np.array([seed, epoch << 20], dtype=np.uint32))


class ValidationCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Callback that updates and measures the float32 model that would be saved, and logs its metrics.

    Averaged weights produce activations that none of the individual weights produced, so the statistics of batch
    normalization are estimated again for them (Izmailov et al. 2018, arXiv:1803.05407). Without this, the first
    averages lose a tenth of their accuracy. Statistics of unmodified faces are better for some networks, and those of
    the augmented faces of the training for others, by up to a percentage point: those with the lower `val_loss` are
    kept.
    """

    def __init__(
        self, core: keras.Model, kept: keras.Model, *, samples: Callable[[], list[NDArray[np.uint8]]], valid: Faces
    ) -> None:
        """Initialize the callback.

        Args:
            core: Network inside the model being trained.
            kept: Float32 copy of it, overwritten after every epoch.
            samples: Function that returns the (N, H, W, C) images for each estimation of the statistics.
            valid: Validation faces.
        """
        super().__init__()
        self._core, self._kept, self._samples, self._valid = core, kept, samples, valid

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add `val_accuracy` and `val_loss` to the logs, the latter against the soft labels in nats.

        Raises:
            DivergedError: A metric is not finite.
        """
        metrics = {} if logs is None else logs
        optimizer = self.model.optimizer  # on JAX, accessing the model also synchronizes its variables
        self._kept.set_weights(self._core.get_weights())
        if optimizer.use_ema:
            optimizer.finalize_variable_values(self._kept.trainable_variables)
            self._kept.set_weights(self._kept.get_weights())  # copies the averages, whose buffers JAX would donate
            metrics.update(self._estimate_statistics())
        else:
            metrics.update(self._measure())
        if not np.isfinite([float(v) for v in metrics.values()]).all():
            raise DivergedError(
                f"the loss is not finite in epoch {epoch + 1}: start a new run with a lower `learning_rate`; "
                "the best model before this epoch is kept"
            )

    def _estimate_statistics(self) -> dict[str, float]:
        """Set the statistics with the lowest loss, and return its metrics."""
        found = []
        for images in self._samples():
            estimate_statistics(self._kept, images)
            found.append((self._measure(), self._kept.get_weights()))
        metrics, weights = min(found, key=lambda each: each[0]["val_loss"])
        self._kept.set_weights(weights)
        return metrics

    def _measure(self) -> dict[str, float]:
        logits = self._kept.predict(self._valid.images, batch_size=256, verbose=0)
        return {
            "val_accuracy": float(np.mean(logits.argmax(axis=1) == self._valid.labels)),
            "val_loss": float(-(self._valid.soft_labels * log_softmax(logits)).sum(axis=1).mean()),
        }


class CheckpointCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Callback that saves the best model and the training state after each epoch and stops the training.

    The state is written after the model, so that it never refers to a model that was not saved.
    """

    def __init__(
        self, state: TrainingState, save_model: Callable[[History], None], on_epoch: Callable[[History], None]
    ) -> None:
        """Initialize the callback.

        Args:
            state: Training state; updated after each epoch.
            save_model: Callback, called with the history when the last epoch is the best one.
            on_epoch: Callback, called with the history after the state has been written.
        """
        super().__init__()
        self._state, self._save_model, self._on_epoch = state, save_model, on_epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Save the model if it improved, then the state; stop if the training is finished."""
        row = {"epoch": float(epoch + 1), **{k: float(v) for k, v in (logs or {}).items()}}
        row["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        history = self._state.history
        history.append(row)
        if self._state.improved:
            self._save_model(history)
        self._state.save(self.model)
        self._on_epoch(history)
        if self._state.finished:
            self.model.stop_training = True
