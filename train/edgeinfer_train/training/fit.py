"""Training of a backbone on prepared faces."""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path

import keras

from edgeinfer.errors import CapabilityError, EdgeInferError
from edgeinfer_train.config import FitConfig
from edgeinfer_train.datasets.load import read_info
from edgeinfer_train.errors import ConfigError, RunError
from edgeinfer_train.evaluation.history import History, write_history
from edgeinfer_train.networks.model import MODEL_FILE, WEIGHTS_FILE, ModelInfo, save_model, save_weights, source_commit
from edgeinfer_train.training.batches import FaceBatches
from edgeinfer_train.training.callbacks import CheckpointCallback, EpochSeedCallback, ValidationCallback
from edgeinfer_train.training.data import TrainingData, load_training_data
from edgeinfer_train.training.devices import device_scope
from edgeinfer_train.training.distillation import TeacherViews
from edgeinfer_train.training.optimizers import training_phases
from edgeinfer_train.training.report import HISTORY_FILE, finish_run, missing_files
from edgeinfer_train.training.run_folder import (
    STATE_FOLDER,
    TENSORBOARD_FOLDER,
    VIEWS_FOLDER,
    check_run_folder,
    create_run_folder,
    resolve_config,
)
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
) -> History:
    """Train a network and keep the epoch with the best validation metric.

    Args:
        data: Prepared data folder with train and valid splits.
        run: Run folder to write: `model.keras model.weights.h5 config.toml history.csv metrics.json curves.png
            confusion.png mistakes.png` and the training state.
        config: Settings. Values that depend on the backbone are resolved and saved with the run.
        resume: True to continue an interrupted run with the same settings, losing at most one epoch. For a finished
            run, only missing files are created.
        verbose: Keras' progress output: 0 silent, 1 progress bar, 2 one line per epoch.
        on_epoch: Callback, called with the history after every epoch.

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
    config = resolve_config(config, info)
    _check_tensorboard(config)
    check_run_folder(run, config, info, resume=resume)
    state = TrainingState(run / STATE_FOLDER, config)
    was_finished = state.finished
    if was_finished and not missing_files(run):
        return state.history
    training_data = load_training_data(data, info, config)
    try:
        if not was_finished:
            with device_scope(config.devices) as devices:
                _check_batch_size(config, devices, len(training_data.train))
                student = Student(config, info.labels, load_weights=not state.history)
                create_run_folder(run, config)
                batches = _batches(run, config, student, training_data, devices)
                _train(run, config, state, student, batches, training_data, verbose=verbose, on_epoch=on_epoch)
        finish_run(run, config, state.history, training_data, keep_existing=was_finished)
        shutil.rmtree(run / VIEWS_FOLDER, ignore_errors=True)
    except EdgeInferError:
        raise
    except OSError as error:
        raise RunError(f"cannot write the run folder {run}: {error.strerror or error}") from error
    return state.history


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


def _train(
    run: Path,
    config: FitConfig,
    state: TrainingState,
    student: Student,
    batches: FaceBatches,
    training_data: TrainingData,
    *,
    verbose: int | str,
    on_epoch: Callable[[History], None] | None,
) -> None:
    """Train from the last complete epoch to the end."""
    info, model = training_data.info, student.model
    model_info = ModelInfo(
        config.backbone, info.labels, info.name, info.protocol(training_data.label_mode), training_data.label_shares(),
        {}, settings=config.published(), commit=source_commit(),
    )  # fmt: skip

    def save(history: History) -> None:
        validation = {k: round(history[-1][k], 6) for k in ("val_accuracy", "val_loss")}
        save_model(student.kept, dataclasses.replace(model_info, validation=validation), run / MODEL_FILE)
        save_weights(student.kept, run / WEIGHTS_FILE)

    def report(history: History) -> None:
        write_history(history, run / HISTORY_FILE)
        if on_epoch:
            on_epoch(history)

    callbacks = [
        EpochSeedCallback(batches.start_epoch),
        ValidationCallback(student.core, student.kept, faces=lambda: batches.faces, valid=training_data.valid),
        *([keras.callbacks.TensorBoard(run / TENSORBOARD_FOLDER, write_graph=False)] if config.tensorboard else []),
        CheckpointCallback(state, save, report),
    ]
    for phase in training_phases(config):
        if len(state.history) > phase.end:
            continue
        student.start_phase(phase, config, len(batches))
        if len(state.history) > phase.begin:
            state.restore(model)
        if len(state.history) == phase.end:  # the run was interrupted between two phases
            model.optimizer.finalize_variable_values(model.trainable_variables)  # as Keras' fit does at its end
            continue
        model.fit(
            batches, initial_epoch=len(state.history), epochs=phase.end, shuffle=False, verbose=verbose,
            class_weight=training_data.class_weights(config), callbacks=callbacks,
        )  # fmt: skip
