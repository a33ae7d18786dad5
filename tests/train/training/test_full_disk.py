from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from edgeinfer_train.config import FitConfig, load_config, save_config
from edgeinfer_train.training.fit import fit


@pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")
def test_run_on_a_full_disk_fails_cleanly_and_can_be_resumed(
    tmp_path: Path, toy_data: Path, toy_config: FitConfig, eager: None
) -> None:
    """Simulate a full disk with a file size limit that the model exceeds and the settings do not."""
    run, settings = tmp_path / "run", tmp_path / "settings.toml"
    save_config(toy_config.replace(epochs=1, limit=16), settings)
    command = [sys.executable, "-m", "edgeinfer_train.cli.app", "fit", str(toy_data), "--run", str(run)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}

    def limit_file_size() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    failed = subprocess.run(
        [*command, "--config", str(settings)],
        capture_output=True, text=True, env=environment, preexec_fn=limit_file_size, check=False,
    )  # fmt: skip
    assert failed.returncode == 6
    assert failed.stderr.splitlines()[-1].startswith(f"edgeinfer-train: cannot write the run folder {run}")
    assert "Traceback" not in failed.stderr
    assert not (run / "model.keras").exists()
    fit(toy_data, run, load_config(run / "config.toml"), resume=True)
    assert {"model.keras", "metrics.json", "curves.png"} <= {path.name for path in run.iterdir()}
