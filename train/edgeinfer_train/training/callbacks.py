"""What happens between the epochs of a training: measure, keep, remember, stop."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edgeinfer_train.config import FitConfig
from edgeinfer_train.datasets.load import Faces
from edgeinfer_train.errors import DivergedError, RunError
from edgeinfer_train.evaluation.history import History, best_epoch, write_atomically

STATISTICS_FACES, STATISTICS_BATCH = 1600, 64


class Reseed(keras.callbacks.Callback):  # type: ignore[misc]
    """Makes what an epoch draws a function of the seed and its number alone.

    A resumed run so meets the same order, mixtures and variations as one that was never interrupted.
    """

    def __init__(self, start_epoch: Callable[[int], None]) -> None:
        super().__init__()
        self._start_epoch = start_epoch

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set every random source of the data and of the model's layers."""
        self._start_epoch(epoch)
        for variable in self.model.variables:
            if variable.name == "seed_generator_state":
                seed = int(keras.ops.convert_to_numpy(variable)[0])
                variable.assign(np.array([seed, epoch << 20], dtype=np.uint32))


class Validate(keras.callbacks.Callback):  # type: ignore[misc]
    """Brings the float32 model that would be kept up to date, measures it, and adds the figures to the logs.

    The average of many weights has activations that no single one of them had, so the statistics of batch
    normalization are estimated anew for it (Izmailov et al. 2018, arXiv:1803.05407). Without that, early
    averages lose a tenth of their accuracy. Faces as they are serve a little better for it than faces varied anew;
    a network that learns from views of them needs those, or loses up to a point.
    """

    def __init__(self, core: keras.Model, kept: keras.Model, *, faces: Callable[[], Faces], valid: Faces) -> None:
        """Name what to measure.

        Args:
            core: the network inside the model in training.
            kept: its float32 twin, overwritten every epoch.
            faces: gives those that the epoch was trained on, or their view.
            valid: those that measure.
        """
        super().__init__()
        self._core, self._kept, self._faces, self._valid = core, kept, faces, valid

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add `val_accuracy` and `val_loss`, the latter against the soft labels, in nats.

        Raises:
            DivergedError: a figure is not finite.
        """
        figures = {} if logs is None else logs
        optimizer = self.model.optimizer  # on JAX, asking for the model also brings its variables up to date
        self._kept.set_weights(self._core.get_weights())
        if optimizer.use_ema:
            optimizer.finalize_variable_values(self._kept.trainable_variables)
            self._kept.set_weights(self._kept.get_weights())  # on JAX, the average's own arrays would be used up
            self._renew_statistics()
        logits = self._kept.predict(self._valid.images, batch_size=256, verbose=0).astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        log_likelihood = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        figures["val_accuracy"] = float(np.mean(logits.argmax(axis=1) == self._valid.labels))
        figures["val_loss"] = float(-(self._valid.soft_labels * log_likelihood).sum(axis=1).mean())
        if not np.isfinite([float(v) for v in figures.values()]).all():
            raise DivergedError(
                f"the loss is no longer finite in epoch {epoch + 1}; start again with a lower learning_rate. "
                "What was kept before stays"
            )

    def _renew_statistics(self) -> None:
        images = self._faces().images
        sample = np.random.default_rng(0).permutation(len(images))[:STATISTICS_FACES]
        norms = [layer for layer in self._kept.layers if isinstance(layer, keras.layers.BatchNormalization)]
        momenta = [norm.momentum for norm in norms]
        try:
            for batch, chosen in enumerate(np.array_split(sample, -(-len(sample) // STATISTICS_BATCH))):
                for norm in norms:
                    norm.momentum = batch / (batch + 1)  # makes the moving average a plain mean over the batches
                self._kept(images[chosen], training=True)
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum


class Remember(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the best model and what a resumed run needs, and stops when nothing improves any more.

    The state holds weights, optimizer and history. It is written whole after each epoch or not at all, and
    after the best model, so that it never speaks of a model that was not saved.
    """

    def __init__(
        self,
        folder: Path,
        config: FitConfig,
        save: Callable[[History], None],
        on_epoch: Callable[[History], None],
    ) -> None:
        """Read the history of the last whole epoch, if there is one.

        Args:
            folder: where the state lies.
            config: for the monitored figure and the patience.
            save: called with the history when its last row is the best.
            on_epoch: called with the history after the state was written.

        Raises:
            RunError: the state cannot be read.
        """
        super().__init__()
        self._folder, self._config, self._save, self._on_epoch = folder, config, save, on_epoch
        self._weights: str | None = None
        self.history: History = []
        if (folder / "state.json").is_file():
            try:
                state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
                self._weights, self.history = str(state["weights"]), list(state["history"])
            except (ValueError, OSError, KeyError, TypeError) as error:
                raise RunError(f"the training state in {folder} cannot be read; start a new run") from error

    @property
    def finished(self) -> bool:
        """Whether the last epoch was trained or the patience has run out."""
        history, patience = self.history, self._config.patience
        if not history:
            return False
        waited = len(history) - max(best_epoch(history, self._config.monitor) + 1, self._config.head_phase)
        return len(history) >= self._config.epochs or waited >= max(patience, 1)

    def restore(self, model: keras.Model) -> None:
        """Load weights and optimizer of the last whole epoch into a compiled and built model.

        Raises:
            RunError: the state does not fit the model.
        """
        if self._weights is None:
            return
        try:
            with warnings.catch_warnings():
                # Keras only warns of some layers that keep their first weights.
                warnings.simplefilter("error", UserWarning)
                model.load_weights(self._folder / self._weights)
        except (ValueError, OSError, KeyError, UserWarning) as error:
            raise RunError(f"the training state in {self._folder} does not fit this model; start a new run") from error

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Save the model if it is the best, then the state; stop if the patience has run out."""
        row = {"epoch": float(epoch + 1), **{k: float(v) for k, v in (logs or {}).items()}}
        row["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self.history.append(row)
        if best_epoch(self.history, self._config.monitor) == epoch:
            self._save(self.history)
        weights = f"epoch-{epoch + 1:04d}.weights.h5"
        self.model.save_weights(self._folder / weights)
        write_atomically(self._folder / "state.json", json.dumps({"weights": weights, "history": self.history}))
        for old in self._folder.glob("epoch-*.weights.h5"):
            if old.name != weights:
                with contextlib.suppress(OSError):
                    old.unlink()
        self._on_epoch(self.history)
        if self.finished:
            self.model.stop_training = True
