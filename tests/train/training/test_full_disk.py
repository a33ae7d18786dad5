from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

from edgeinfer_train.config import FitConfig, save_config


def test_a_run_that_cannot_be_written_says_so_and_goes_on_once_there_is_room(
    tmp_path: Path, toy_data: Path, toy_config: FitConfig
) -> None:
    """A limit on the size of files stands for a disk that fills up; the model is larger, the settings are not."""
    run, settings = tmp_path / "run", tmp_path / "settings.toml"
    save_config(toy_config.replace(epochs=1, limit=16), settings)
    command = [sys.executable, "-m", "edgeinfer_train.cli.app", "fit", str(toy_data), "--run", str(run)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    full = subprocess.run(
        [*command, "--config", str(settings)],
        capture_output=True, text=True, env=environment, preexec_fn=fill, check=False,
    )  # fmt: skip
    assert full.returncode == 6
    assert full.stderr.splitlines()[-1].startswith(f"edgeinfer-train: cannot write the run folder {run}")
    assert "Traceback" not in full.stderr
    assert not (run / "model.keras").exists()
    again = subprocess.run([*command, "--resume"], capture_output=True, text=True, env=environment, check=False)
    assert again.returncode == 0, again.stderr
    assert {"model.keras", "metrics.json", "curves.png"} <= {path.name for path in run.iterdir()}
