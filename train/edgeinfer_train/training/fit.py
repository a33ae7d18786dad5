"""Train a backbone on prepared faces and leave a run folder that explains itself."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from edgeinfer.errors import CapabilityError, EdgeInferError
from edgeinfer_train.augment import augmentation, scramble
from edgeinfer_train.backbones import BACKBONES, resolve
from edgeinfer_train.callbacks import History, Remember, Reseed, Validate, write_history
from edgeinfer_train.config import FitConfig, Precision, load_config, save_config
from edgeinfer_train.data import DatasetInfo, Faces, load_split, read_info
from edgeinfer_train.devices import spread
from edgeinfer_train.distil import Taught, Teachers, Views
from edgeinfer_train.errors import ConfigError, DataError, RunError
from edgeinfer_train.fused import fuse
from edgeinfer_train.labels import LabelMode
from edgeinfer_train.model import (
    MODEL_FILE,
    WEIGHTS_FILE,
    ModelInfo,
    build_core,
    freeze,
    save_model,
    save_weights,
    source_commit,
)
from edgeinfer_train.optimize import Phase, optimizer, phases
from edgeinfer_train.report import HISTORY_FILE, finish_run, missing_files
from edgeinfer_train.weights import initialize

CONFIG_FILE = "config.toml"
STATE_FOLDER = "state"
VIEWS_FOLDER = "views"
TENSORBOARD_FOLDER = "tensorboard"


class FaceBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """Shuffled training batches with mixup, the same for the same seed and epoch.

    Gives (B, H, W, C) uint8 faces and (B, K) float32 soft labels. Several devices take equal parts of whole
    batches, so the few faces over are left to another epoch.

    Attributes:
        faces: those of this epoch, or the view of them that stands in.
    """

    def __init__(
        self,
        faces: Faces,
        *,
        batch_size: int,
        mixup: float,
        seed: int,
        devices: int = 1,
        views: Views | None = None,
        mirror: bool = False,
        scrambled: float = 0.0,
    ) -> None:
        """Take the faces, or the views that stand in for them.

        Args:
            faces: those that are trained on.
            batch_size: faces of a batch.
            mixup: probability that a batch is blended with itself.
            seed: of the order, mixup and mirroring.
            devices: that share a batch.
            views: what each epoch takes in place of the faces.
            mirror: mirror half of the faces. Views are mirrored again, which makes two out of each.
            scrambled: share of faces that are scrambled and taught the mean of all labels.
        """
        super().__init__()
        self.faces, self._batch_size, self._mixup, self._seed = faces, batch_size, mixup, seed
        self._count, self._views = len(faces) if devices == 1 else len(faces) // batch_size * batch_size, views
        self._mirror, self._scrambled = mirror, scrambled
        self._doubt = faces.soft_labels.mean(axis=0)
        self._draw(0)

    def start_epoch(self, epoch: int) -> None:
        """Draw the order of an epoch, counted from 0, and take its view of the faces."""
        self._draw(epoch)
        if self._views:
            self.faces = self._views.of_epoch(epoch)

    def _draw(self, epoch: int) -> None:
        self._epoch = epoch
        self._order = np.random.default_rng((self._seed, epoch)).permutation(len(self.faces))[: self._count]

    def __len__(self) -> int:
        return math.ceil(self._count / self._batch_size)

    def __getitem__(self, batch: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Batch number `batch` of this epoch."""
        chosen = self._order[batch * self._batch_size : (batch + 1) * self._batch_size]
        images, labels = self.faces.images[chosen], self.faces.soft_labels[chosen]
        random = np.random.default_rng((self._seed, self._epoch, batch))
        if self._mirror:
            mirrored = random.random((len(images), 1, 1, 1)) < 0.5
            images = np.where(mirrored, images[:, :, ::-1], images)
        if self._scrambled:
            for number in np.flatnonzero(random.random(len(images)) < self._scrambled):
                images[number], labels[number] = scramble(images[number], random), self._doubt
        if random.random() >= self._mixup:
            return images, labels
        share = random.beta(0.4, 0.4)
        other = random.permutation(len(images))
        mixed = share * images.astype(np.float32) + (1 - share) * images[other]
        return mixed.round().astype(np.uint8), (share * labels + (1 - share) * labels[other]).astype(np.float32)


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
