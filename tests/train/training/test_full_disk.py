from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeinfer_train.config import FitConfig
from edgeinfer_train.config_file import load_config, save_config
from edgeinfer_train.training.fit import fit

MAX_FILE_BYTES = 20_000
"""Limit that the model exceeds and the settings do not."""


@pytest.mark.usefixtures("eager")
@pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")
def test_run_on_a_full_disk_fails_cleanly_and_can_be_resumed(
    command: Callable[..., Any], tmp_path: Path, toy_data: Path, toy_config: FitConfig
) -> None:
    """Simulate a full disk with a limit on the size of files."""
    run, settings = tmp_path / "run", tmp_path / "settings.toml"
    save_config(toy_config.replace(epochs=1, limit=16), settings)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, limits[1]))
    try:
        failed = command("fit", toy_data, "--run", run, "--config", settings)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert failed.code == 6
    assert failed.err.splitlines()[-1].startswith(f"edgeinfer-train: cannot write the run folder {run}")
    assert "Traceback" not in failed.err
    assert not (run / "model.keras").exists()
    fit(toy_data, run, load_config(run / "config.toml"), resume=True)
    assert {"model.keras", "metrics.json", "curves.png"} <= {path.name for path in run.iterdir()}
