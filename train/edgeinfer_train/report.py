"""What a finished run says of itself: `metrics.json` and two pictures."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import keras

from edgeinfer_train import plots
from edgeinfer_train.callbacks import History, best_epoch, write_history, write_whole
from edgeinfer_train.config import FitConfig
from edgeinfer_train.data import DatasetInfo, Faces
from edgeinfer_train.evaluate import Evaluation, load_network, measure
from edgeinfer_train.model import MODEL_FILE, WEIGHTS_FILE, load_model, save_weights

HISTORY_FILE = "history.csv"
METRICS_FILE = "metrics.json"
CURVES_FILE = "curves.png"
CONFUSION_FILE = "confusion.png"
RUN_FILES = (MODEL_FILE, WEIGHTS_FILE, HISTORY_FILE, METRICS_FILE, CURVES_FILE, CONFUSION_FILE)


def missing_files(run: Path) -> tuple[str, ...]:
    """What a finished run folder should hold and does not."""
    return tuple(name for name in RUN_FILES if not (run / name).is_file())


def finish_run(
    run: Path,
    config: FitConfig,
    info: DatasetInfo,
    history: History,
    *,
    faces: Faces,
    valid: Faces,
    keep: bool,
) -> None:
    """Measure the kept model on the validation split and write what a run folder lacks.

    Args:
        run: the folder, with its model in it.
        config: the settings of the run.
        info: of the data.
        history: one row an epoch.
        faces: what was trained on.
        valid: what chose the kept epoch.
        keep: leave files alone that are there already.

    Raises:
        ModelNotFoundError: the folder holds no model.
        OSError: a file cannot be written.
    """
    wanted = missing_files(run) if keep else (METRICS_FILE, CURVES_FILE, CONFUSION_FILE)
    best = best_epoch(history, config.monitor)
    evaluation = measure(load_network(run), valid, info, "valid")
    if WEIGHTS_FILE in wanted:
        save_weights(load_model(run / MODEL_FILE)[0], run / WEIGHTS_FILE)
    if HISTORY_FILE in wanted:
        write_history(history, run / HISTORY_FILE)
    if METRICS_FILE in wanted:
        counts = {"train": len(faces), "valid": len(valid)}
        values = _metrics(run, config, evaluation, counts=counts, epochs=len(history), best=best + 1)
        write_whole(run / METRICS_FILE, json.dumps(values, indent=2) + "\n")
    if CURVES_FILE in wanted:
        plots.curves(history, best, run / CURVES_FILE)
    if CONFUSION_FILE in wanted:
        plots.confusion(evaluation, run / CONFUSION_FILE)


def _metrics(
    run: Path, config: FitConfig, evaluation: Evaluation, *, counts: dict[str, int], epochs: int, best: int
) -> dict[str, Any]:
    commit = _commit()
    return {
        "dataset": evaluation.dataset,
        "label_mode": evaluation.label_mode,
        "labels": list(evaluation.labels),
        "faces": counts,
        "backbone": config.backbone,
        "parameters": load_model(run / MODEL_FILE)[0].count_params(),
        "seed": config.seed,
        "epochs": epochs,
        "best_epoch": best,
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
