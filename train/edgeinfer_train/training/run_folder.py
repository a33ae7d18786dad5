"""Run folder: file names, checks before a run, and its settings."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgeinfer_train.config import FitConfig
from edgeinfer_train.config_file import load_config, save_config
from edgeinfer_train.datasets.load import DatasetInfo
from edgeinfer_train.datasets.prepare.files import write_csv
from edgeinfer_train.errors import ConfigError, RunError
from edgeinfer_train.networks.backbones import BACKBONES, resolve
from edgeinfer_train.networks.start import Start
from edgeinfer_train.training.data import HELD_OUT_FILE, LEFT_OUT_FILE, TrainingData, resolve_label_mode

CONFIG_FILE = "config.toml"
STATE_FOLDER = "state"
VIEWS_FOLDER = "views"
TENSORBOARD_FOLDER = "tensorboard"


def resolve_config(config: FitConfig, info: DatasetInfo, start: Start | None = None) -> FitConfig:
    """Replace settings that depend on the backbone, the data set or the trained model with their resolved values.

    Args:
        config: Settings.
        info: Description of the data set.
        start: Trained model from which the run starts, or None.

    Raises:
        ConfigError: The image size is below the backbone's minimum, or the recipe needs a trained model.
    """
    if start:
        config = dataclasses.replace(config, width=start.width, image_size=config.image_size or start.image_size)
    elif config.recipe == "small":
        raise ConfigError("`recipe` is small: set `weights` to bundled, a run folder or its .keras file")
    elif info.size and not config.image_size:
        config = dataclasses.replace(config, image_size=max(info.size, BACKBONES[config.backbone].min_image_size))
    return dataclasses.replace(resolve(config), label_mode=resolve_label_mode(config, info))


def check_run_folder(
    run: Path, config: FitConfig, info: DatasetInfo, *, resume: bool, start: Start | None = None
) -> None:
    """Validate that a run may write to a folder.

    Args:
        run: Run folder; it may not exist yet.
        config: Resolved settings of the run.
        info: Description of the data set.
        resume: True to allow a folder that contains a run with the same settings.
        start: Trained model from which the run starts, or None.

    Raises:
        RunError: The folder contains a different run or unrelated files.
    """
    path = run / CONFIG_FILE
    if path.is_file():
        if not resume:
            raise RunError(f"{run} already contains a run: choose another folder, or set `resume` to continue it")
        if resolve_config(load_config(path), info, start) != config:
            raise RunError(f"{run} was started with other settings: resume it with those in its {CONFIG_FILE}")
    elif run.exists() and (not run.is_dir() or any(run.iterdir())):
        raise RunError(f"{run} is not an empty folder and contains no run: choose another folder")


def create_run_folder(run: Path, config: FitConfig, data: TrainingData) -> None:
    """Create the run folder and write its settings, unless it exists.

    Args:
        run: Run folder.
        config: Resolved settings of the run.
        data: Faces of the run. The names of those that it holds or leaves out are written too.

    Raises:
        OSError: The folder cannot be written.
    """
    (run / STATE_FOLDER).mkdir(parents=True, exist_ok=True)
    if not (run / CONFIG_FILE).is_file():
        save_config(config, run / CONFIG_FILE)
    for file, names in ((HELD_OUT_FILE, data.held_out), (LEFT_OUT_FILE, data.left_out)):
        if names:
            write_csv(run / file, ["file"], [[name] for name in names])
