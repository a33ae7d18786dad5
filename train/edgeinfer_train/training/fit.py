"""Train a backbone on prepared faces and leave a run folder that explains itself."""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from edgeinfer.errors import CapabilityError, EdgeInferError
from edgeinfer_train.config import FitConfig, Precision, load_config, save_config
from edgeinfer_train.datasets.augment import augmentation
from edgeinfer_train.datasets.load import DatasetInfo, Faces, load_split, read_info
from edgeinfer_train.errors import ConfigError, DataError, RunError
from edgeinfer_train.evaluation.history import History, write_history
from edgeinfer_train.labels import LabelMode
from edgeinfer_train.networks.backbones import BACKBONES, resolve
from edgeinfer_train.networks.fused import fuse
from edgeinfer_train.networks.model import (
    MODEL_FILE,
    WEIGHTS_FILE,
    ModelInfo,
    build_core,
    freeze,
    save_model,
    save_weights,
    source_commit,
)
from edgeinfer_train.networks.weights import initialize
from edgeinfer_train.training.batches import FaceBatches
from edgeinfer_train.training.callbacks import Remember, Reseed, Validate
from edgeinfer_train.training.devices import spread
from edgeinfer_train.training.distillation import Taught, Teachers, Views
from edgeinfer_train.training.optimizers import Phase, optimizer, phases
from edgeinfer_train.training.report import HISTORY_FILE, finish_run, missing_files

CONFIG_FILE = "config.toml"
STATE_FOLDER = "state"
VIEWS_FOLDER = "views"
TENSORBOARD_FOLDER = "tensorboard"


def fit(
    data: Path,
    run: Path,
    config: FitConfig,
    *,
    resume: bool = False,
    verbose: int | str = 0,
    on_epoch: Callable[[History], None] | None = None,
) -> History:
    """Train, keeping the epoch that is best on the validation split.

    Args:
        data: a prepared folder with train and valid splits.
        run: folder for `model.keras model.weights.h5 config.toml history.csv metrics.json curves.png
            confusion.png mistakes.png` and the training state.
        config: every setting. What it leaves to the backbone is filled in and saved with the run.
        resume: go on where an interrupted run of the same config stopped, losing at most one epoch. A run
            that has finished only gets the files that are missing.
        verbose: Keras' progress output.
        on_epoch: called with the history after every epoch.

    Returns:
        One row an epoch: epoch, accuracy, loss, val_accuracy, val_loss, learning_rate.

    Raises:
        DataError: the data cannot be used.
        RunError: the folder holds another run or cannot be written.
        ConfigError: the backbone does not go with the other settings.
        ModelNotFoundError: initial weights or a teacher are missing, or a run that has finished lost its model.
        ModelError: initial weights or a teacher are of another kind.
        DivergedError: the loss is no longer finite.
        CapabilityError: TensorBoard logs are asked for, but TensorBoard is not installed.
    """
    info = read_info(data)
    mode, config = _label_mode(config, info), _resolve(config, info)
    colour, size_hw = BACKBONES[config.backbone].colour, (config.image_size, config.image_size)
    _check(run, config, info, resume)
    done = Remember(run / STATE_FOLDER, config, _nothing, _nothing)
    if done.finished and not missing_files(run):
        return done.history
    faces = load_split(data, "train", size_hw=size_hw, colour=colour, limit=config.limit or None, label_mode=mode)
    valid = load_split(data, "valid", size_hw=size_hw, colour=colour, label_mode=mode)
    if len(set(faces.labels.tolist())) < 2:
        raise DataError(f"{data} has training faces for fewer than two labels; nothing can be told apart")
    history = done.history
    try:
        if not done.finished:
            with spread(config.devices) as devices:
                if config.batch_size % devices or (devices > 1 and len(faces) < config.batch_size):
                    raise ConfigError(
                        f"batch_size is {config.batch_size}; {devices} devices need a multiple of {devices}, "
                        f"and no more than the {len(faces)} training faces"
                    )
                student = _Student(config, info.labels, fresh=not history)
                _claim(run, config)
                teachers = student.teachers if config.distil_views else None
                batches = FaceBatches(
                    faces, batch_size=config.batch_size, mixup=config.augment.mixup, seed=config.seed, devices=devices,
                    views=Views(run / VIEWS_FOLDER, faces, teachers, config) if teachers else None,
                    mirror=teachers is not None and config.augment.flip, scrambled=config.augment.scrambled,
                )  # fmt: skip
                history = _train(
                    run, config, info, student, batches, faces=faces, valid=valid, verbose=verbose, on_epoch=on_epoch
                )
        finish_run(run, data, config, history, label_mode=mode, faces=faces, valid=valid, keep=done.finished)
        shutil.rmtree(run / VIEWS_FOLDER, ignore_errors=True)
    except EdgeInferError:
        raise
    except OSError as error:
        raise RunError(f"cannot write the run folder {run}: {error.strerror or error}") from error
    return history


class _Student:
    """The networks of a run, made before its folder is claimed, since weights and teachers may be missing.

    Attributes:
        core: what learns.
        teachers: what it learns from beside the labels, if there is something.
        taught: whether they teach within the training step, and not by views.
        model: the core behind augmentation, and beside its teachers if these teach within the step.
        kept: the core's float32 twin, which is measured and saved.
    """

    def __init__(self, config: FitConfig, labels: tuple[str, ...], *, fresh: bool) -> None:
        def build(precision: Precision) -> keras.Model:
            return build_core(
                config.backbone, len(labels), image_size=config.image_size, width=config.width,
                dropout=config.dropout, precision=precision,
            )  # fmt: skip

        keras.utils.set_random_seed(config.seed)
        self.core = fuse(build(config.precision))
        if fresh:
            initialize(self.core, config.backbone, config.weights)
        self.teachers = Teachers(config.teachers, labels, config.precision) if config.teachers else None
        self.taught = self.teachers is not None and not config.distil_views
        last: keras.layers.Layer = self.core
        if self.teachers and self.taught:
            last = Taught(self.core, self.teachers, temperature=config.distil_temperature, weight=config.distil_weight)
        layers = [] if config.distil_views else augmentation(config.augment, config.seed)
        self.model = keras.Sequential([keras.Input(self.core.input_shape[1:], dtype="uint8"), *layers, last])
        self.kept = build("float32")

    def enter(self, phase: Phase, config: FitConfig, steps: int) -> None:
        """Choose what learns and how; the optimizer starts anew.

        Args:
            phase: which.
            config: of the run.
            steps: of an epoch.
        """
        for network in (self.core, self.kept):
            freeze(network, phase.trainable_layers)
        self.model.compile(
            optimizer(config, phase, self.core, steps),
            keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=config.label_smoothing),
            loss_weights=1.0 - config.distil_weight if self.taught else None,
            metrics=["accuracy"],
        )
        self.model.optimizer.build(self.model.trainable_variables)


def _train(
    run: Path,
    config: FitConfig,
    info: DatasetInfo,
    student: _Student,
    batches: FaceBatches,
    *,
    faces: Faces,
    valid: Faces,
    verbose: int | str,
    on_epoch: Callable[[History], None] | None,
) -> History:
    """Train from the last whole epoch to the end."""
    model = student.model
    described = ModelInfo(
        config.backbone, info.labels, info.name, info.protocol(_label_mode(config, info)), _shares(faces, info.labels),
        {}, settings=config.published(), commit=source_commit(),
    )  # fmt: skip

    def save(history: History) -> None:
        figures = {k: round(history[-1][k], 6) for k in ("val_accuracy", "val_loss")}
        save_model(student.kept, dataclasses.replace(described, validation=figures), run / MODEL_FILE)
        save_weights(student.kept, run / WEIGHTS_FILE)

    def report(history: History) -> None:
        write_history(history, run / HISTORY_FILE)
        if on_epoch:
            on_epoch(history)

    remember = Remember(run / STATE_FOLDER, config, save, report)
    validate = Validate(student.core, student.kept, faces=lambda: batches.faces, valid=valid)
    logs = [keras.callbacks.TensorBoard(run / TENSORBOARD_FOLDER, write_graph=False)] if config.tensorboard else []
    for phase in phases(config):
        if len(remember.history) > phase.end:
            continue
        student.enter(phase, config, len(batches))
        if len(remember.history) > phase.begin:
            remember.restore(model)
        if len(remember.history) == phase.end:  # interrupted between phases
            model.optimizer.finalize_variable_values(model.trainable_variables)  # as `fit` does when it ends
            continue
        model.fit(
            batches, initial_epoch=len(remember.history), epochs=phase.end, shuffle=False, verbose=verbose,
            class_weight=_class_weights(config, faces),
            callbacks=[Reseed(batches.start_epoch), validate, *logs, remember],
        )  # fmt: skip
    return remember.history


def _class_weights(config: FitConfig, faces: Faces) -> dict[int, float] | None:
    """Keras' `class_weight`; None weighs all alike."""
    if config.class_weights == "none":
        return None
    labels, counts = np.unique(faces.labels, return_counts=True)
    return {int(n): len(faces) / (len(labels) * int(count)) for n, count in zip(labels, counts, strict=True)}


def _shares(faces: Faces, labels: tuple[str, ...]) -> dict[str, float]:
    shares = np.bincount(faces.labels, minlength=len(labels)) / len(faces)
    return {label: round(float(share), 6) for label, share in zip(labels, shares, strict=True)}


def _label_mode(config: FitConfig, info: DatasetInfo) -> LabelMode:
    return info.default_label_mode if config.label_mode == "data" else config.label_mode


def _resolve(config: FitConfig, info: DatasetInfo) -> FitConfig:
    """Replace what a config leaves to the backbone or to the data."""
    return dataclasses.replace(resolve(config), label_mode=_label_mode(config, info))


def _check(run: Path, config: FitConfig, info: DatasetInfo, resume: bool) -> None:
    """Refuse logs that nothing can write, and a folder that this run may not write to."""
    if config.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise CapabilityError("logs for TensorBoard need TensorBoard, which is not installed; pip install tensorboard")
    path = run / CONFIG_FILE
    if path.is_file():
        if not resume:
            raise RunError(f"{run} already holds a run; choose another folder, or go on with it by --resume")
        if _resolve(load_config(path), info) != config:
            raise RunError(f"{run} was started with other settings than these; resume with those of its {CONFIG_FILE}")
    elif run.exists() and (not run.is_dir() or any(run.iterdir())):
        raise RunError(f"{run} is not an empty folder and holds no run; choose another one")


def _claim(run: Path, config: FitConfig) -> None:
    (run / STATE_FOLDER).mkdir(parents=True, exist_ok=True)
    if not (run / CONFIG_FILE).is_file():
        save_config(config, run / CONFIG_FILE)


def _nothing(_history: History) -> None:
    pass
