"""Results of a finished run: `metrics.json` and four plots.

The keys of `metrics.json`:

* `dataset`: name of the data set.
* `label_mode`: human-readable rule that produced the training labels.
* `faces`: number of faces by split; `train` excludes copies of validation and test faces.
* `epochs`, `best_epoch`: number of epochs, and the best one by the monitored metric, counted from 1. It is kept unless
  `kept` names other weights.
* `labels`: names of the logits, in order.
* `backbone`, `seed`: from the settings, which `config.toml` contains completely.
* `parameters`: number of parameters of the saved network, including non-trainable ones.
* `multiply_adds`: multiply-adds per face, see `multiply_adds`.
* `validation`: metrics of the kept model on the validation split; its keys are the attributes of `Evaluation` and
  `Metrics`, and `warnings`, one sentence each.
* `kept`: origin of the kept weights; absent for a run without a trained model as its start.
* `folds`: number of cross-validation folds behind the baselines; 0 without cross-validation.
* `baselines`: list of `edgeinfer_train.training.baselines.Baseline` with their attributes as keys: the most frequent
  training label, the start of the run, and the bundled model if it has the labels of the data.
* `versions`: versions of Python and of the training packages, and the name of Keras' `backend`.
* `git_commit`: commit of the training code, with "-dirty" appended if files were changed; absent outside a repository.
"""

from __future__ import annotations

import json
import math
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edgeinfer.system.files import write_file
from edgeinfer_train.config import FitConfig
from edgeinfer_train.evaluation import plots
from edgeinfer_train.evaluation.evaluate import RUN_METRICS, Evaluation, measure, measuring_mode, network_from_keras
from edgeinfer_train.evaluation.history import History, best_epoch, write_history
from edgeinfer_train.networks.model import MODEL_FILE, WEIGHTS_FILE, load_model, save_weights, source_commit
from edgeinfer_train.training.baselines import measure_baselines
from edgeinfer_train.training.data import TrainingData
from edgeinfer_train.training.run_folder import STATE_FOLDER
from edgeinfer_train.training.selection import Selection

HISTORY_FILE = "history.csv"
CURVES_FILE = "curves.png"
CONFUSION_FILE = "confusion.png"
RELIABILITY_FILE = "reliability.png"
MISTAKES_FILE = "mistakes.png"
COUNTED_LAYERS = (
    keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D, keras.layers.Dense,
)  # fmt: skip
RESULT_FILES = (RUN_METRICS, CURVES_FILE, CONFUSION_FILE, RELIABILITY_FILE, MISTAKES_FILE)
RUN_FILES = (MODEL_FILE, WEIGHTS_FILE, HISTORY_FILE, *RESULT_FILES)


def missing_files(run: Path) -> tuple[str, ...]:
    """Return the names of the result files that a run folder lacks."""
    return tuple(name for name in RUN_FILES if not (run / name).is_file())


def finish_run(
    run: Path, config: FitConfig, history: History, training_data: TrainingData, *, keep_existing: bool
) -> None:
    """Measure the kept model on the validation split and write the result files.

    Args:
        run: Run folder that contains the model.
        config: Settings of the run.
        history: One row per epoch.
        training_data: Faces of the run.
        keep_existing: True to write only missing files.

    Raises:
        ModelNotFoundError: The folder contains no model.
        DataError: A face cannot be read.
        OSError: A file cannot be written.
    """
    files = missing_files(run) if keep_existing else RESULT_FILES
    selection = Selection.load(run / STATE_FOLDER)
    core, info = load_model(run / MODEL_FILE)
    evaluation = measure(
        network_from_keras(run / MODEL_FILE, core, info),
        training_data.valid,
        training_data.info,
        "valid",
        label_mode=measuring_mode(training_data.label_mode),
    )
    if WEIGHTS_FILE in files:
        save_weights(core, run / WEIGHTS_FILE)
    if HISTORY_FILE in files:
        write_history(history, run / HISTORY_FILE)
    if RUN_METRICS in files:
        values = _run_metrics(core, config, history, training_data, evaluation)
        values |= _comparison(core, training_data, selection)
        write_file(run / RUN_METRICS, json.dumps(values, indent=2) + "\n")
    if CURVES_FILE in files:
        best = best_epoch(history, config.monitor)
        kept = selection.kept_epoch(len(history), best) if selection else best
        plots.draw_curves(history, kept, run / CURVES_FILE)
    if CONFUSION_FILE in files:
        plots.draw_confusion(evaluation, run / CONFUSION_FILE)
    if RELIABILITY_FILE in files:
        plots.draw_reliability(evaluation, run / RELIABILITY_FILE)
    if MISTAKES_FILE in files:
        plots.draw_mistakes(evaluation, training_data.folder, run / MISTAKES_FILE)


def multiply_adds(model: keras.Model) -> int:
    """Count the multiply-adds of a network per face.

    Conv2D, DepthwiseConv2D, SeparableConv2D and Dense layers are counted, which take most of the time; biases, batch
    normalization and activations are not.

    Args:
        model: Functional model with a fixed input size and channels last.
    """
    total = 0
    for layer in model.layers:
        if isinstance(layer, COUNTED_LAYERS):
            # Each weight of a kernel is used once per output position.
            kernels = (weight for weight in layer.weights if weight.name.endswith("kernel"))
            total += math.prod(layer.output.shape[1:-1]) * sum(math.prod(kernel.shape) for kernel in kernels)
    return total


def _run_metrics(
    core: keras.Model, config: FitConfig, history: History, training_data: TrainingData, evaluation: Evaluation
) -> dict[str, Any]:
    """Return the content of metrics.json; the module's docstring explains the keys."""
    commit = source_commit()
    return {
        "dataset": training_data.info.name,
        "label_mode": training_data.info.protocol(training_data.label_mode),
        "faces": {"train": len(training_data.train), "valid": len(training_data.valid)},
        "epochs": len(history),
        "best_epoch": best_epoch(history, config.monitor) + 1,
        "labels": list(evaluation.labels),
        "backbone": config.backbone,
        "seed": config.seed,
        "parameters": core.count_params(),
        "multiply_adds": multiply_adds(core),
        "validation": {**evaluation.to_mapping(), "model": MODEL_FILE},
        "versions": _versions(),
        **({"git_commit": commit} if commit else {}),
    }


def _comparison(core: keras.Model, data: TrainingData, selection: Selection | None) -> dict[str, Any]:
    """Return the values of metrics.json about the baselines of a run."""
    logits = np.asarray(core.predict(data.valid.images, batch_size=256, verbose=0), np.float32)
    found = measure_baselines(logits, data.valid, data.train, data.info.labels, selection)
    return {
        **({"kept": selection.kept} if selection else {}),
        "folds": selection.folds if selection else 0,
        "baselines": [baseline.to_mapping() for baseline in found],
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "backend": keras.backend.backend()}
    for name in ("edgeinfer", "keras", "tensorflow", "numpy"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
