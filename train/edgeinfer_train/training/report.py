"""What a finished run says of itself: `metrics.json` and three pictures.

The keys of `metrics.json`:

* `dataset`: name of the data set.
* `label_mode`: the rule behind the labels that were learned, in words.
* `faces`: number of faces by split, `train` without copies of held-out faces.
* `epochs`, `best_epoch`: how many were trained, and which of them, from 1, was kept.
* `labels`: names of the logits, in order.
* `backbone`, `seed`: from the settings, all of which are in `config.toml`.
* `parameters`: of the saved network, those that are not trained included.
* `multiply_adds`: of one face, see `multiply_adds`.
* `validation`: the kept model on the validation split; its keys are the attributes of `Evaluation` and `Metrics`,
  with `warnings`, one sentence each.
* `versions`: of Python and of the packages that trained, and the name of Keras' `backend`.
* `git_commit`: of this code, with "-dirty" behind it where files were changed; absent outside a repository.
"""

from __future__ import annotations

import json
import math
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import keras

from edgeinfer_train.config import FitConfig
from edgeinfer_train.datasets.load import Faces, read_info
from edgeinfer_train.evaluation import plots
from edgeinfer_train.evaluation.evaluate import RUN_METRICS, Evaluation, load_network, measure, measuring_mode
from edgeinfer_train.evaluation.history import History, best_epoch, write_atomically, write_history
from edgeinfer_train.labels import LabelMode
from edgeinfer_train.networks.model import MODEL_FILE, WEIGHTS_FILE, load_model, save_weights

HISTORY_FILE = "history.csv"
CURVES_FILE = "curves.png"
CONFUSION_FILE = "confusion.png"
MISTAKES_FILE = "mistakes.png"
COUNTED_LAYERS = (
    keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D, keras.layers.Dense,
)  # fmt: skip
RUN_FILES = (MODEL_FILE, WEIGHTS_FILE, HISTORY_FILE, RUN_METRICS, CURVES_FILE, CONFUSION_FILE, MISTAKES_FILE)


def missing_files(run: Path) -> tuple[str, ...]:
    """What a finished run folder should hold and does not."""
    return tuple(name for name in RUN_FILES if not (run / name).is_file())


def finish_run(
    run: Path,
    data: Path,
    config: FitConfig,
    history: History,
    *,
    label_mode: LabelMode,
    faces: Faces,
    valid: Faces,
    keep: bool,
) -> None:
    """Measure the kept model on the validation split and write what a run folder lacks.

    Args:
        run: the folder, with its model in it.
        data: the prepared folder.
        config: the settings of the run.
        history: one row an epoch.
        label_mode: that of the training.
        faces: what was trained on.
        valid: what chose the kept epoch.
        keep: leave files alone that are there already.

    Raises:
        ModelNotFoundError: the folder holds no model.
        DataError: a face cannot be read.
        OSError: a file cannot be written.
    """
    wanted = missing_files(run) if keep else (RUN_METRICS, CURVES_FILE, CONFUSION_FILE, MISTAKES_FILE)
    best, info = best_epoch(history, config.monitor), read_info(data)
    evaluation = measure(load_network(run), valid, info, "valid", label_mode=measuring_mode(label_mode))
    if WEIGHTS_FILE in wanted:
        save_weights(load_model(run / MODEL_FILE)[0], run / WEIGHTS_FILE)
    if HISTORY_FILE in wanted:
        write_history(history, run / HISTORY_FILE)
    if RUN_METRICS in wanted:
        told = {
            "dataset": info.name,
            "label_mode": info.protocol(label_mode),
            "faces": {"train": len(faces), "valid": len(valid)},
            "epochs": len(history),
            "best_epoch": best + 1,
        }
        values = told | _metrics(load_model(run / MODEL_FILE)[0], config, evaluation)
        write_atomically(run / RUN_METRICS, json.dumps(values, indent=2) + "\n")
    if CURVES_FILE in wanted:
        plots.draw_curves(history, best, run / CURVES_FILE)
    if CONFUSION_FILE in wanted:
        plots.draw_confusion(evaluation, run / CONFUSION_FILE)
    if MISTAKES_FILE in wanted:
        plots.draw_mistakes(evaluation, data, run / MISTAKES_FILE)


def multiply_adds(model: keras.Model) -> int:
    """Multiplications of one face that are followed by an addition.

    Counted are Conv2D, DepthwiseConv2D, SeparableConv2D and Dense, which is where the time goes; biases, batch
    normalization and activations are not.

    Args:
        model: a Functional model, with fixed sides of the input and channels last.
    """
    total = 0
    for layer in model.layers:
        if isinstance(layer, COUNTED_LAYERS):
            # Every weight of a kernel is used once at each position of the output.
            kernels = (weight for weight in layer.weights if weight.name.endswith("kernel"))
            total += math.prod(layer.output.shape[1:-1]) * sum(math.prod(kernel.shape) for kernel in kernels)
    return total


def _metrics(core: keras.Model, config: FitConfig, evaluation: Evaluation) -> dict[str, Any]:
    """See the head of this file for the keys."""
    commit = _commit()
    return {
        "labels": list(evaluation.labels),
        "backbone": config.backbone,
        "seed": config.seed,
        "parameters": core.count_params(),
        "multiply_adds": multiply_adds(core),
        "validation": {**evaluation.to_mapping(), "model": MODEL_FILE},
        "versions": _versions(),
        **({"git_commit": commit} if commit else {}),
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "backend": keras.backend.backend()}
    for name in ("edgeinfer", "keras", "tensorflow", "numpy"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _commit() -> str | None:
    """The commit of this code, where it lies in a git repository that tracks it."""
    git, here = shutil.which("git"), Path(__file__).resolve()
    if git is None:
        return None
    tracked = ("ls-files", "--error-unmatch", here.name)
    state = ("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    for words in (tracked, state):
        done = subprocess.run([git, *words], cwd=here.parent, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            return None
    return done.stdout.strip()
