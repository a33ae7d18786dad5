"""Training of a backbone on prepared faces."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from edgeinfer.errors import CapabilityError, EdgeInferError
from edgeinfer.expression.probabilities import log_softmax
from edgeinfer_train.config import FitConfig
from edgeinfer_train.datasets.load import read_info
from edgeinfer_train.errors import ConfigError, RunError
from edgeinfer_train.evaluation.history import History, write_history
from edgeinfer_train.networks.model import (
    MODEL_FILE,
    WEIGHTS_FILE,
    ModelInfo,
    load_model,
    save_model,
    save_weights,
    source_commit,
)
from edgeinfer_train.networks.start import Start, find_start
from edgeinfer_train.training.batches import FaceBatches
from edgeinfer_train.training.callbacks import CheckpointCallback, EpochSeedCallback, ValidationCallback
from edgeinfer_train.training.data import TrainingData, load_training_data
from edgeinfer_train.training.devices import device_scope
from edgeinfer_train.training.distillation import TeacherViews
from edgeinfer_train.training.fine_tuning import FineTuning, Notify
from edgeinfer_train.training.optimizers import training_phases
from edgeinfer_train.training.recipe import SMALL_SET
from edgeinfer_train.training.report import HISTORY_FILE, finish_run, missing_files
from edgeinfer_train.training.run_folder import (
    STATE_FOLDER,
    TENSORBOARD_FOLDER,
    VIEWS_FOLDER,
    check_run_folder,
    create_run_folder,
    resolve_config,
)
from edgeinfer_train.training.selection import Selection
from edgeinfer_train.training.state import TrainingState
from edgeinfer_train.training.student import Student


def fit(
    data: Path,
    run: Path,
    config: FitConfig,
    *,
    resume: bool = False,
    verbose: int | str = 0,
    on_epoch: Callable[[History], None] | None = None,
    notify: Notify | None = None,
) -> History:
    """Train a network and keep the epoch with the best validation metric.

    A run that starts from a trained model keeps the best of the start, the end and the weights between both, so that
    it never ends worse than its start on the validation faces.

    Args:
        data: Prepared data folder with train and valid splits.
        run: Run folder to write: `model.keras model.weights.h5 config.toml history.csv metrics.json curves.png
            confusion.png mistakes.png` and the training state.
        config: Settings. Values that depend on the backbone are resolved and saved with the run.
        resume: True to continue an interrupted run with the same settings, losing at most one epoch. For a finished
            run, only missing files are created.
        verbose: Keras' progress output: 0 silent, 1 progress bar, 2 one line per epoch.
        on_epoch: Callback, called with the history after every epoch.
        notify: Callback for sentences about the start, the split and the kept weights.

    Returns:
        One row per epoch: epoch, accuracy, loss, val_accuracy, val_loss, learning_rate.

    Raises:
        DataError: The data cannot be used.
        RunError: The folder contains a different run, or cannot be written.
        ConfigError: The settings do not match the backbone or the devices.
        ModelNotFoundError: Initial weights or a teacher do not exist, or a finished run lacks its model.
        ModelError: Initial weights or a teacher have a different format or network.
        DivergedError: The loss is not finite.
        CapabilityError: TensorBoard logs are enabled, but TensorBoard is not installed.
    """
    info = read_info(data)
    start = find_start(config)
    config = resolve_config(config, info, start)
    _check_tensorboard(config)
    check_run_folder(run, config, info, resume=resume, start=start)
    state = TrainingState(run / STATE_FOLDER, config)
    was_finished = state.finished and (start is None or Selection.load(run / STATE_FOLDER) is not None)
    if was_finished and not missing_files(run):
        return state.history
    training_data = load_training_data(data, info, config)
    if notify:
        _announce(config, training_data, notify)
    try:
        if not was_finished:
            _train(run, config, state, training_data, start, verbose=verbose, on_epoch=on_epoch, notify=notify)
        finish_run(run, config, state.history, training_data, keep_existing=was_finished)
        shutil.rmtree(run / VIEWS_FOLDER, ignore_errors=True)
    except EdgeInferError:
        raise
    except OSError as error:
        raise RunError(f"cannot write the run folder {run}: {error.strerror or error}") from error
    return state.history


def _train(
    run: Path,
    config: FitConfig,
    state: TrainingState,
    data: TrainingData,
    start: Start | None,
    *,
    verbose: int | str,
    on_epoch: Callable[[History], None] | None,
    notify: Notify | None,
) -> None:
    """Create the network on its devices and train it to the end."""
    with device_scope(config.devices) as devices:
        _check_batch_size(config, devices, len(data.train))
        student = Student(config, data.info.labels, load_weights=not state.history, start=start)
        create_run_folder(run, config, data)
        job = _Job(run, config, state, student, data, verbose, on_epoch)
        if start:
            job.fine_tune(FineTuning(start, student, data, config, notify), devices)
        else:
            job.train(devices)


def _announce(config: FitConfig, data: TrainingData, notify: Notify) -> None:
    """Report the recipe and the split."""
    faces = f"{len(data.train):,} training faces"
    if config.recipe == "small":
        folds = f", {config.folds}-fold cross-validation" if config.folds else ""
        notify(f"recipe for small sets: {faces}, class weights {config.class_weights}{folds}")
        for note in data.notes:
            notify(note)
    elif len(data.train) < SMALL_SET and config.weights == "none":
        notify(f"warning: {faces} are few to train from scratch: start from a trained model with `weights` = bundled")


def _check_tensorboard(config: FitConfig) -> None:
    if config.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise CapabilityError("`tensorboard` needs TensorBoard, which is not installed: run pip install tensorboard")


def _check_batch_size(config: FitConfig, devices: int, faces: int) -> None:
    if config.batch_size % devices or (devices > 1 and faces < config.batch_size):
        raise ConfigError(
            f"`batch_size` is {config.batch_size}: {devices} devices need a multiple of {devices} "
            f"that does not exceed the {faces} training faces"
        )


def _batches(run: Path, config: FitConfig, student: Student, training_data: TrainingData, devices: int) -> FaceBatches:
    teachers = student.teachers if config.distil_views else None
    return FaceBatches(
        training_data.train,
        batch_size=config.batch_size,
        mixup=config.augment.mixup,
        seed=config.seed,
        devices=devices,
        views=TeacherViews(run / VIEWS_FOLDER, training_data.train, teachers, config) if teachers else None,
        mirror=teachers is not None and config.augment.flip,
        scrambled=config.augment.scrambled,
    )


@dataclass(frozen=True, slots=True)
class _Job:
    """Training of one run from the last complete epoch to the end."""

    run: Path
    config: FitConfig
    state: TrainingState
    student: Student
    data: TrainingData
    verbose: int | str
    on_epoch: Callable[[History], None] | None

    def fine_tune(self, tuning: FineTuning, devices: int) -> None:
        """Train from a trained model, and keep the best of the start, the end and the weights between both."""
        end = None
        tuning.cross_validate(self.run / STATE_FOLDER)
        if not self.state.finished:
            self.train(devices)
            end = self.student.kept.get_weights() if self.config.folds else None
        kept, selection = tuning.select(end or load_model(self.run / MODEL_FILE)[0].get_weights())
        self.student.kept.set_weights(kept.weights)
        logits = selection.kept_logits[: len(self.data.valid)]
        self._save(
            {
                "val_accuracy": float(np.mean(logits.argmax(axis=1) == self.data.valid.labels)),
                "val_loss": float(-(self.data.valid.soft_labels * log_softmax(logits)).sum(axis=1).mean()),
            }
        )
        selection.save(self.run / STATE_FOLDER)

    def train(self, devices: int) -> None:
        """Train all remaining epochs; the best one is in the run folder."""
        config, state, student = self.config, self.state, self.student
        batches = _batches(self.run, config, student, self.data, devices)
        callbacks = [
            EpochSeedCallback(batches.start_epoch),
            ValidationCallback(
                student.core,
                student.kept,
                samples=lambda: student.statistics_samples(batches.faces),
                valid=self.data.valid,
            ),
            *self._tensorboard(),
            CheckpointCallback(state, lambda history: self._save(history[-1]), self._report),
        ]
        for phase in training_phases(config):
            if len(state.history) > phase.end:
                continue
            student.start_phase(phase, config, len(batches))
            if len(state.history) > phase.begin:
                state.restore(student.model)
            if len(state.history) == phase.end:  # the run was interrupted between two phases
                student.model.optimizer.finalize_variable_values(student.model.trainable_variables)  # as in Keras' fit
                continue
            student.model.fit(
                batches, initial_epoch=len(state.history), epochs=phase.end, shuffle=False, verbose=self.verbose,
                class_weight=self.data.class_weights(config), callbacks=callbacks,
            )  # fmt: skip

    def _tensorboard(self) -> list[keras.callbacks.Callback]:
        if not self.config.tensorboard:
            return []
        return [keras.callbacks.TensorBoard(self.run / TENSORBOARD_FOLDER, write_graph=False)]

    def _save(self, metrics: Mapping[str, float]) -> None:
        data, config = self.data, self.config
        info = ModelInfo(
            config.backbone, data.info.labels, data.info.name, data.info.protocol(data.label_mode),
            data.label_shares(), {k: round(metrics[k], 6) for k in ("val_accuracy", "val_loss")},
            settings=config.published(), commit=source_commit(), held_out=data.held_out,
        )  # fmt: skip
        save_model(self.student.kept, info, self.run / MODEL_FILE)
        save_weights(self.student.kept, self.run / WEIGHTS_FILE)

    def _report(self, history: History) -> None:
        write_history(history, self.run / HISTORY_FILE)
        if self.on_epoch:
            self.on_epoch(history)
