"""Run folder: file names, checks before a run, and its settings."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgeinfer_train.config import FitConfig, load_config, save_config
from edgeinfer_train.datasets.load import DatasetInfo
from edgeinfer_train.errors import RunError
from edgeinfer_train.networks.backbones import resolve
from edgeinfer_train.training.data import resolve_label_mode

CONFIG_FILE = "config.toml"
STATE_FOLDER = "state"
VIEWS_FOLDER = "views"
TENSORBOARD_FOLDER = "tensorboard"


def resolve_config(config: FitConfig, info: DatasetInfo) -> FitConfig:
    """Replace settings that depend on the backbone or on the data set with their resolved values.

    Raises:
        ConfigError: The image size is below the backbone's minimum.
    """
    return dataclasses.replace(resolve(config), label_mode=resolve_label_mode(config, info))


def check_run_folder(run: Path, config: FitConfig, info: DatasetInfo, *, resume: bool) -> None:
    """Validate that a run may write to a folder.

    Args:
        run: Run folder; it may not exist yet.
        config: Resolved settings of the run.
        info: Description of the data set.
        resume: True to allow a folder that contains a run with the same settings.

    Raises:
        RunError: The folder contains a different run or unrelated files.
    """
    path = run / CONFIG_FILE
    if path.is_file():
        if not resume:
            raise RunError(f"{run} already contains a run: choose another folder, or set `resume` to continue it")
        if resolve_config(load_config(path), info) != config:
            raise RunError(f"{run} was started with other settings: resume it with those in its {CONFIG_FILE}")
    elif run.exists() and (not run.is_dir() or any(run.iterdir())):
        raise RunError(f"{run} is not an empty folder and contains no run: choose another folder")


def create_run_folder(run: Path, config: FitConfig) -> None:
    """Create the run folder and write its settings, unless it exists.

    Raises:
        OSError: The folder cannot be written.
    """
    (run / STATE_FOLDER).mkdir(parents=True, exist_ok=True)
    if not (run / CONFIG_FILE).is_file():
        save_config(config, run / CONFIG_FILE)
