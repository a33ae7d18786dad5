from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.errors import ModelNotFoundError
from edgeinfer_train.config import FitConfig
from edgeinfer_train.config_file import load_config, save_config
from edgeinfer_train.errors import DataError, DivergedError, RunError
from edgeinfer_train.evaluation.evaluate import evaluate
from edgeinfer_train.evaluation.history import best_epoch
from edgeinfer_train.networks.model import load_model, source_commit
from edgeinfer_train.training.callbacks import EpochSeedCallback
from edgeinfer_train.training.fit import fit

from ..conftest import SHALLOW

RUN_FILES = {
    "model.keras", "model.weights.h5", "config.toml", "history.csv", "metrics.json", "curves.png",
    "confusion.png", "reliability.png", "mistakes.png", "state",
}  # fmt: skip


def read_history(run: Path) -> list[dict[str, float]]:
    with (run / "history.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def test_training_reaches_high_accuracy_and_writes_the_run_folder(toy_run: Path, toy_config: FitConfig) -> None:
    rows = read_history(toy_run)
    assert {p.name for p in toy_run.iterdir()} == RUN_FILES
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert max(row["val_accuracy"] for row in rows) >= 0.95
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert load_config(toy_run / "config.toml") == replace(
        toy_config, image_size=48, weights="none", label_mode="argmax"
    )


def test_kept_model_has_the_metrics_of_the_history(toy_run: Path, toy_data: Path) -> None:
    """Check that the file has the averaged weights in float32, with batch statistics estimated for them."""
    rows = read_history(toy_run)
    best = rows[best_epoch(rows, "val_accuracy")]
    metrics = evaluate(toy_run, toy_data, split="valid").metrics
    assert metrics.accuracy == pytest.approx(best["val_accuracy"], abs=1e-5)
    assert metrics.loss == pytest.approx(best["val_loss"], rel=1e-3)  # one-hot labels: hard and soft agree
    info = load_model(toy_run / "model.keras")[1]
    assert info.validation == {
        "val_accuracy": pytest.approx(best["val_accuracy"], abs=1e-5),
        "val_loss": pytest.approx(best["val_loss"], abs=1e-5),
    }
    assert info.settings == load_config(toy_run / "config.toml").published()
    assert info.commit == source_commit()


def test_run_in_mixed_precision(tmp_path: Path, toy_data: Path, toy_config: FitConfig) -> None:
    config = replace(toy_config, precision="mixed_bfloat16", epochs=1, limit=16, ema_momentum=0.0)
    rows = fit(toy_data, tmp_path / "run", config)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["faces"] == {"train": 16, "valid": 48}
    model = load_model(tmp_path / "run" / "model.keras")[0]
    assert {layer.compute_dtype for layer in model.layers if layer.weights} == {"float32"}
    assert evaluate(tmp_path / "run", toy_data, split="valid").metrics.accuracy == rows[0]["val_accuracy"]


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from edgeinfer_train.networks import edgenet
    from edgeinfer_train.training import fit as training
    from edgeinfer_train.config_file import load_config

    edgenet.STAGES = SHALLOW
    get_batch = training.FaceBatches.__getitem__

    def kill_in_third_epoch(self, batch):
        if self._epoch == 2 and batch == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return get_batch(self, batch)

    training.FaceBatches.__getitem__ = kill_in_third_epoch
    training.fit(Path(sys.argv[1]), Path(sys.argv[2]), load_config(Path(sys.argv[3])))
"""


def test_killed_run_resumes_like_an_uninterrupted_one(
    tmp_path: Path, toy_data: Path, toy_run: Path, toy_config: FitConfig
) -> None:
    run = tmp_path / "run"
    save_config(toy_config, tmp_path / "config.toml")
    code = textwrap.dedent(KILLED).replace("SHALLOW", str(SHALLOW))
    command = [sys.executable, "-c", code, str(toy_data), str(run), str(tmp_path / "config.toml")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run(command, capture_output=True, env=environment, timeout=300, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert [row["epoch"] for row in read_history(run)] == [1, 2]
    assert not (run / "metrics.json").exists()

    with pytest.raises(RunError, match="already contains a run"):
        fit(toy_data, run, toy_config)
    fit(toy_data, run, toy_config, resume=True)

    assert [row["epoch"] for row in read_history(run)] == [1, 2, 3, 4]
    for resumed, uninterrupted in zip(read_history(run), read_history(toy_run), strict=True):
        assert resumed == pytest.approx(uninterrupted, rel=2e-3, abs=2e-3)
    assert {p.name for p in run.iterdir()} == RUN_FILES


def test_resuming_a_finished_run_creates_only_missing_files(
    tmp_path: Path, toy_data: Path, toy_run: Path, toy_config: FitConfig
) -> None:
    run = tmp_path / "run"
    shutil.copytree(toy_run, run)
    missing = (
        "metrics.json",
        "curves.png",
        "confusion.png",
        "reliability.png",
        "mistakes.png",
        "history.csv",
        "model.weights.h5",
    )
    before = {name: (run / name).read_bytes() for name in missing}
    for name in missing:
        (run / name).unlink()
    times = {p: p.stat().st_mtime_ns for p in run.rglob("*") if p.is_file()}
    rows = fit(toy_data, run, toy_config, resume=True)
    assert len(rows) == toy_config.epochs
    assert {p: p.stat().st_mtime_ns for p in times} == times
    assert (run / "history.csv").read_bytes() == before["history.csv"]
    assert (run / "metrics.json").read_bytes() == before["metrics.json"]
    after = {p: p.stat().st_mtime_ns for p in run.rglob("*")}
    fit(toy_data, run, toy_config, resume=True)
    assert {p: p.stat().st_mtime_ns for p in run.rglob("*")} == after


def test_finished_run_without_model_is_rejected(
    tmp_path: Path, toy_data: Path, toy_run: Path, toy_config: FitConfig
) -> None:
    shutil.copytree(toy_run, tmp_path / "run")
    (tmp_path / "run" / "model.keras").unlink()
    with pytest.raises(ModelNotFoundError):
        fit(toy_data, tmp_path / "run", toy_config, resume=True)


def test_resuming_with_other_settings_is_rejected(toy_data: Path, toy_run: Path, toy_config: FitConfig) -> None:
    with pytest.raises(RunError, match="other settings"):
        fit(toy_data, toy_run, replace(toy_config, epochs=9), resume=True)


def test_damaged_state_is_rejected(tmp_path: Path, toy_data: Path, toy_run: Path, toy_config: FitConfig) -> None:
    shutil.copytree(toy_run, tmp_path / "run")
    (tmp_path / "run" / "state" / "state.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        fit(toy_data, tmp_path / "run", toy_config, resume=True)


def test_folder_with_other_files_is_rejected(tmp_path: Path, toy_data: Path, toy_config: FitConfig) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(RunError, match="contains no run"):
        fit(toy_data, tmp_path, toy_config)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_unwritable_run_folder_is_rejected(tmp_path: Path, toy_data: Path, toy_config: FitConfig) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write") as caught:
        fit(toy_data, tmp_path / "file" / "run", toy_config)
    assert caught.value.exit_code == 6


@pytest.mark.usefixtures("eager")
@pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")
def test_infinite_loss_stops_training_and_keeps_the_best_model(
    tmp_path: Path, toy_data: Path, toy_config: FitConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Set the weights to NaN in the second epoch, as a learning rate that is too high would."""
    config, run, begin = replace(toy_config, epochs=3, limit=16), tmp_path / "run", EpochSeedCallback.on_epoch_begin

    def set_nan(self: EpochSeedCallback, epoch: int, logs: dict[str, object] | None = None) -> None:
        begin(self, epoch, logs)
        if epoch == 1:
            kernel = self.model.layers[-1].get_layer("logits").kernel
            kernel.assign(np.full(kernel.shape, np.nan))

    monkeypatch.setattr(EpochSeedCallback, "on_epoch_begin", set_nan)
    with pytest.raises(DivergedError, match="the loss is not finite in epoch 2") as caught:
        fit(toy_data, run, config)
    assert caught.value.exit_code == 1
    assert [row["epoch"] for row in read_history(run)] == [1]
    weights = load_model(run / "model.keras")[0].get_weights()
    assert all(np.isfinite(w).all() for w in weights)


def test_data_without_validation_faces_are_rejected(
    tmp_path: Path, make_toy_data: Callable[..., Path], toy_config: FitConfig
) -> None:
    data = make_toy_data(tmp_path / "data", valid=0)
    with pytest.raises(DataError, match="no valid faces"):
        fit(data, tmp_path / "run", toy_config)
    assert not (tmp_path / "run").exists(), "a run that did not start must not create its folder"


def test_data_with_one_label_are_rejected(
    tmp_path: Path, make_toy_data: Callable[..., Path], toy_config: FitConfig
) -> None:
    data = make_toy_data(tmp_path / "data", train=8, valid=4)
    shutil.rmtree(data / "train" / "happy")
    with pytest.raises(DataError, match="fewer than two labels"):
        fit(data, tmp_path / "run", toy_config)


@pytest.mark.parametrize(("monitor", "best"), [("val_accuracy", 1), ("val_loss", 2)])
def test_best_epoch_is_the_first_on_a_tie(monitor: str, best: int) -> None:
    rows = [{"val_accuracy": a, "val_loss": b} for a, b in ((0.1, 3.0), (0.5, 2.0), (0.5, 1.0), (0.4, 1.0))]
    assert best_epoch(rows, monitor) == best  # type: ignore[arg-type]
