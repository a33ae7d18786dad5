"""Training state of a run: weights, optimizer and history of the last complete epoch."""

from __future__ import annotations

import contextlib
import json
import warnings
from pathlib import Path

import keras

from edgeinfer.system.files import write_file
from edgeinfer_train.config import FitConfig
from edgeinfer_train.errors import RunError
from edgeinfer_train.evaluation.history import History, best_epoch

STATE_FILE = "state.json"


class TrainingState:
    """Training state in a folder.

    Attributes:
        history: One row per complete epoch.
    """

    def __init__(self, folder: Path, config: FitConfig) -> None:
        """Read the history of the last complete epoch, if there is one.

        Args:
            folder: Folder of the state.
            config: Settings of the run.

        Raises:
            RunError: The state cannot be read.
        """
        self._folder, self._config = folder, config
        self._weights: str | None = None
        self.history: History = []
        if (folder / STATE_FILE).is_file():
            try:
                values = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
                self._weights, self.history = str(values["weights"]), list(values["history"])
            except (ValueError, OSError, KeyError, TypeError) as error:
                raise RunError(f"the training state in {folder} cannot be read; start a new run") from error

    @property
    def finished(self) -> bool:
        """True if the last epoch is complete or the patience is exhausted."""
        history, config = self.history, self._config
        if not history:
            return False
        waited = len(history) - max(best_epoch(history, config.monitor) + 1, config.head_phase)
        return len(history) >= config.epochs or waited >= max(config.patience, 1)

    @property
    def improved(self) -> bool:
        """True if the last epoch is the best one."""
        return best_epoch(self.history, self._config.monitor) == len(self.history) - 1

    def restore(self, model: keras.Model) -> None:
        """Load the weights and the optimizer of the last complete epoch into a compiled and built model.

        Raises:
            RunError: The state does not match the model.
        """
        if self._weights is None:
            return
        try:
            with warnings.catch_warnings():
                # Keras only warns if layers keep their initial weights.
                warnings.simplefilter("error", UserWarning)
                model.load_weights(self._folder / self._weights)
        except (ValueError, OSError, KeyError, UserWarning) as error:
            raise RunError(
                f"the training state in {self._folder} does not match this model; start a new run"
            ) from error

    def save(self, model: keras.Model) -> None:
        """Write the state after an epoch. An interrupted call leaves the state of the previous epoch."""
        weights = f"epoch-{len(self.history):04d}.weights.h5"
        model.save_weights(self._folder / weights)
        write_file(self._folder / STATE_FILE, json.dumps({"weights": weights, "history": self.history}))
        for old in self._folder.glob("epoch-*.weights.h5"):
            if old.name != weights:
                with contextlib.suppress(OSError):
                    old.unlink()
