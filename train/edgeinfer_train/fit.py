"""Train a backbone on prepared faces and leave a run folder that explains itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from edgeinfer.errors import EdgeInferError
from edgeinfer_train.augment import augmentation
from edgeinfer_train.backbones import BACKBONES
from edgeinfer_train.callbacks import History, Remember, Reseed, Validate, write_history
from edgeinfer_train.config import FitConfig, load_config, save_config
from edgeinfer_train.data import DatasetInfo, Faces, load_split, read_info
from edgeinfer_train.errors import DataError, RunError
from edgeinfer_train.model import MODEL_FILE, WEIGHTS_FILE, ModelInfo, build_core, save_model, save_weights
from edgeinfer_train.report import HISTORY_FILE, finish_run, missing_files

CONFIG_FILE = "config.toml"
STATE_FOLDER = "state"


class FaceBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """Shuffled training batches with mixup, the same for the same seed and epoch.

    Gives (B, H, W, C) uint8 faces and (B, K) float32 soft labels.
    """

    def __init__(self, faces: Faces, *, batch_size: int, mixup: float, seed: int) -> None:
        super().__init__()
        self._faces, self._batch_size, self._mixup, self._seed = faces, batch_size, mixup, seed
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Draw the order of an epoch, counted from 0."""
        self._epoch = epoch
        self._order = np.random.default_rng((self._seed, epoch)).permutation(len(self._faces))

    def __len__(self) -> int:
        return math.ceil(len(self._faces) / self._batch_size)

    def __getitem__(self, batch: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Batch number `batch` of this epoch."""
        chosen = self._order[batch * self._batch_size : (batch + 1) * self._batch_size]
        images, labels = self._faces.images[chosen], self._faces.soft_labels[chosen]
        random = np.random.default_rng((self._seed, self._epoch, batch))
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
            confusion.png` and the training state.
        config: every setting.
        resume: go on where an interrupted run of the same config stopped, losing at most one epoch. A run
            that has finished only gets the files that are missing.
        verbose: Keras' progress output.
        on_epoch: called with the history after every epoch.

    Returns:
        One row an epoch: epoch, accuracy, loss, val_accuracy, val_loss, learning_rate.

    Raises:
        DataError: the data cannot be used.
        RunError: the folder holds another run or cannot be written.
        ModelNotFoundError: a run that has finished has lost its model.
        DivergedError: the loss is no longer finite.
    """
    info = read_info(data)
    spec = BACKBONES[config.backbone]
    _check(run, config, resume)
    done = Remember(run / STATE_FOLDER, config, _nothing, _nothing)
    if done.finished and not missing_files(run):
        return done.history
    faces = load_split(data, "train", size_hw=spec.size_hw, colour=spec.colour, limit=config.limit or None)
    valid = load_split(data, "valid", size_hw=spec.size_hw, colour=spec.colour)
    if len(set(faces.labels.tolist())) < 2:
        raise DataError(f"{data} has training faces for fewer than two labels; nothing can be told apart")
    try:
        _claim(run, config)
        history = done.history
        if not done.finished:
            history = _train(run, config, info, faces=faces, valid=valid, verbose=verbose, on_epoch=on_epoch)
        finish_run(run, config, info, history, faces=faces, valid=valid, keep=done.finished)
    except EdgeInferError:
        raise
    except OSError as error:
        raise RunError(f"cannot write the run folder {run}: {error.strerror or error}") from error
    return history


def _train(
    run: Path,
    config: FitConfig,
    info: DatasetInfo,
    *,
    faces: Faces,
    valid: Faces,
    verbose: int | str,
    on_epoch: Callable[[History], None] | None,
) -> History:
    """Train from the last whole epoch to the end."""
    keras.utils.set_random_seed(config.seed)
    core = _core(config, len(info.labels))
    layers = augmentation(config.augment, config.seed)
    model = keras.Sequential([keras.Input(core.input_shape[1:], dtype="uint8"), *layers, core])
    model.compile(
        _optimizer(config, core, len(faces)),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.optimizer.build(model.trainable_variables)
    kept = build_core(config.backbone, len(info.labels), width=config.width, dropout=config.dropout)

    def save(history: History) -> None:
        figures = {k: round(history[-1][k], 6) for k in ("val_accuracy", "val_loss")}
        prior = _shares(faces, info.labels)
        save_model(
            kept,
            ModelInfo(config.backbone, info.labels, info.name, info.label_mode, prior, figures),
            run / MODEL_FILE,
        )
        save_weights(kept, run / WEIGHTS_FILE)

    def report(history: History) -> None:
        write_history(history, run / HISTORY_FILE)
        if on_epoch:
            on_epoch(history)

    batches = FaceBatches(faces, batch_size=config.batch_size, mixup=config.augment.mixup, seed=config.seed)
    remember = Remember(run / STATE_FOLDER, config, save, report)
    remember.restore(model)
    validate = Validate(core, kept, faces=faces, valid=valid)
    model.fit(
        batches, epochs=config.epochs, initial_epoch=len(remember.history), shuffle=False, verbose=verbose,
        callbacks=[Reseed(batches.start_epoch), validate, remember],
    )  # fmt: skip
    return remember.history


def _shares(faces: Faces, labels: tuple[str, ...]) -> dict[str, float]:
    shares = np.bincount(faces.labels, minlength=len(labels)) / len(faces)
    return {label: round(float(share), 6) for label, share in zip(labels, shares, strict=True)}


def _core(config: FitConfig, labels: int) -> keras.Model:
    return build_core(config.backbone, labels, width=config.width, dropout=config.dropout, precision=config.precision)


def _optimizer(config: FitConfig, core: keras.Model, faces: int) -> keras.optimizers.Optimizer:
    steps = -(-faces // config.batch_size)
    warmup = round(config.warmup_epochs * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=config.learning_rate / 25 if warmup else config.learning_rate,
        decay_steps=max(1, config.epochs * steps - warmup),
        warmup_target=config.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.SGD(
        schedule,
        momentum=config.momentum,
        nesterov=config.momentum > 0,
        weight_decay=config.weight_decay or None,
        use_ema=config.ema_momentum > 0,
        ema_momentum=config.ema_momentum or 0.99,
    )
    optimizer.exclude_from_weight_decay(var_list=[v for v in core.trainable_variables if v.name != "kernel"])
    return optimizer


def _check(run: Path, config: FitConfig, resume: bool) -> None:
    """Refuse a folder that this run may not write to."""
    path = run / CONFIG_FILE
    if path.is_file():
        if not resume:
            raise RunError(f"{run} already holds a run; choose another folder, or go on with it by --resume")
        if load_config(path) != config:
            raise RunError(f"{run} was started with other settings than these; resume with those of its {CONFIG_FILE}")
    elif run.exists() and (not run.is_dir() or any(run.iterdir())):
        raise RunError(f"{run} is not an empty folder and holds no run; choose another one")


def _claim(run: Path, config: FitConfig) -> None:
    (run / STATE_FOLDER).mkdir(parents=True, exist_ok=True)
    if not (run / CONFIG_FILE).is_file():
        save_config(config, run / CONFIG_FILE)


def _nothing(_history: History) -> None:
    pass
