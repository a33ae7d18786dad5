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
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgeinfer.errors import ModelNotFoundError
from edgeinfer_train.config import FitConfig, load_config, save_config
from edgeinfer_train.datasets.load import Faces
from edgeinfer_train.errors import DataError, DivergedError, RunError
from edgeinfer_train.evaluation.evaluate import evaluate
from edgeinfer_train.evaluation.history import best_epoch
from edgeinfer_train.networks.model import load_model, source_commit
from edgeinfer_train.training.batches import FaceBatches
from edgeinfer_train.training.callbacks import Reseed
from edgeinfer_train.training.fit import fit

RUN_FILES = {
    "model.keras", "model.weights.h5", "config.toml", "history.csv", "metrics.json", "curves.png",
    "confusion.png", "mistakes.png", "state",
}  # fmt: skip


def history(run: Path) -> list[dict[str, float]]:
    with (run / "history.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


@pytest.fixture
def faces() -> Faces:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (21, 8, 8, 1), dtype=np.uint8)
    labels = np.arange(21) % 3
    return Faces(images, labels, np.eye(3, dtype=np.float32)[labels], tuple(map(str, range(21))))


class TestFaceBatches:
    def test_every_face_once_without_mixup(self, faces: Faces) -> None:
        batches = FaceBatches(faces, batch_size=8, mixup=0.0, seed=0)
        images = np.concatenate([batches[i][0] for i in range(len(batches))])
        labels = np.concatenate([batches[i][1] for i in range(len(batches))])
        assert [len(batches[i][0]) for i in range(3)] == [8, 8, 5]
        pairs = {(i.tobytes(), int(label.argmax())) for i, label in zip(images, labels, strict=True)}
        assert pairs == {(i.tobytes(), int(n)) for i, n in zip(faces.images, faces.labels, strict=True)}

    def test_half_of_the_faces_are_mirrored_on_request(self, faces: Faces) -> None:
        plain, mirrored = (
            FaceBatches(faces, batch_size=8, mixup=0.0, seed=0, mirror=mirror) for mirror in (False, True)
        )
        same = 0
        for number in range(len(plain)):
            (seen, labels), (images, others) = plain[number], mirrored[number]
            assert (labels == others).all()
            for face, image in zip(seen, images, strict=True):
                assert (image == face).all() or (image == face[:, ::-1]).all()
                same += (image == face).all()
        assert 0 < same < len(faces)

    def test_an_epoch_is_the_same_whatever_came_before(self, faces: Faces) -> None:
        uninterrupted, resumed = (FaceBatches(faces, batch_size=8, mixup=0.5, seed=4) for _ in range(2))
        for epoch in range(3):
            uninterrupted.start_epoch(epoch)
            _ = uninterrupted[0]
        resumed.start_epoch(2)
        for batch in range(3):
            for left, right in zip(uninterrupted[batch], resumed[batch], strict=True):
                np.testing.assert_array_equal(left, right)

    def test_epochs_and_seeds_differ(self, faces: Faces) -> None:
        first, other = (FaceBatches(faces, batch_size=21, mixup=0.0, seed=seed) for seed in (0, 1))
        before = first[0][0]
        assert (before != other[0][0]).any()
        first.start_epoch(1)
        assert (before != first[0][0]).any()

    def test_scrambled_faces_are_taught_as_no_expression_in_particular(self, faces: Faces) -> None:
        batches = FaceBatches(faces, batch_size=21, mixup=0.0, seed=0, scrambled=0.5)
        images, labels = batches[0]
        mean = faces.soft_labels.mean(axis=0)
        doubted = np.array([np.allclose(label, mean) for label in labels])
        known = {face.tobytes() for face in faces.images}
        assert 0 < doubted.sum() < 21
        assert [image.tobytes() in known for image in images] == (~doubted).tolist()
        assert faces.soft_labels.max() == 1  # the faces themselves stay as they were

    def test_an_epoch_learns_from_its_view(self, faces: Faces) -> None:
        views: Any = SimpleNamespace(of_epoch=lambda epoch: replace(faces, images=faces.images // (epoch + 2)))
        batches = FaceBatches(faces, batch_size=len(faces), mixup=0.0, seed=0, views=views)
        np.testing.assert_array_equal(batches.faces.images, faces.images)
        for epoch in range(2):
            batches.start_epoch(epoch)
            np.testing.assert_array_equal(batches.faces.images, faces.images // (epoch + 2))
            assert int(batches[0][0].sum()) == int((faces.images // (epoch + 2)).sum())

    def test_mixup_keeps_distributions_and_range(self, faces: Faces) -> None:
        images, labels = FaceBatches(faces, batch_size=21, mixup=1.0, seed=0)[0]
        assert images.dtype == np.uint8
        assert labels.dtype == np.float32
        np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-6)
        assert (labels.max(axis=1) < 0.999).any()


def test_it_learns_and_leaves_the_run_folder(toy_run: Path, toy_config: FitConfig) -> None:
    rows = history(toy_run)
    assert {p.name for p in toy_run.iterdir()} == RUN_FILES
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert max(row["val_accuracy"] for row in rows) >= 0.95
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert load_config(toy_run / "config.toml") == replace(
        toy_config, image_size=48, weights="none", label_mode="argmax"
    )


def test_the_kept_model_is_the_one_that_was_judged(toy_run: Path, toy_data: Path) -> None:
    """Averaged weights, their own batch statistics, float32: what the history says is what the file gives."""
    rows = history(toy_run)
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


def test_a_short_run_in_mixed_precision(tmp_path: Path, toy_data: Path, toy_config: FitConfig) -> None:
    config = replace(toy_config, precision="mixed_bfloat16", epochs=1, limit=16, ema_momentum=0.0)
    rows = fit(toy_data, tmp_path / "run", config)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["faces"] == {"train": 16, "valid": 48}
    model = load_model(tmp_path / "run" / "model.keras")[0]
    assert {layer.compute_dtype for layer in model.layers if layer.weights} == {"float32"}
    assert evaluate(tmp_path / "run", toy_data, split="valid").metrics.accuracy == rows[0]["val_accuracy"]


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from edgeinfer_train import fit as training
    from edgeinfer_train.config import load_config

    give = training.FaceBatches.__getitem__

    def deadly(self, batch):
        if self._epoch == 2 and batch == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return give(self, batch)

    training.FaceBatches.__getitem__ = deadly
    training.fit(Path(sys.argv[1]), Path(sys.argv[2]), load_config(Path(sys.argv[3])))
"""


def test_a_killed_run_goes_on_as_if_nothing_had_been(
    tmp_path: Path, toy_data: Path, toy_run: Path, toy_config: FitConfig
) -> None:
    run = tmp_path / "run"
    save_config(toy_config, tmp_path / "config.toml")
    words = [sys.executable, "-c", textwrap.dedent(KILLED), str(toy_data), str(run), str(tmp_path / "config.toml")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    died = subprocess.run(words, capture_output=True, env=environment, timeout=300, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    assert [row["epoch"] for row in history(run)] == [1, 2]
    assert not (run / "metrics.json").exists()

    with pytest.raises(RunError, match="already holds a run"):
        fit(toy_data, run, toy_config)
    fit(toy_data, run, toy_config, resume=True)

    assert [row["epoch"] for row in history(run)] == [1, 2, 3, 4]
    for resumed, uninterrupted in zip(history(run), history(toy_run), strict=True):
        assert resumed == pytest.approx(uninterrupted, rel=2e-3, abs=2e-3)
    assert {p.name for p in run.iterdir()} == RUN_FILES


def test_a_finished_run_gets_only_what_is_missing(
    tmp_path: Path, toy_data: Path, toy_run: Path, toy_config: FitConfig
) -> None:
    run = tmp_path / "run"
    shutil.copytree(toy_run, run)
    lost = ("metrics.json", "curves.png", "confusion.png", "mistakes.png", "history.csv", "model.weights.h5")
    before = {name: (run / name).read_bytes() for name in lost}
    for name in lost:
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


def test_a_finished_run_without_its_model(tmp_path: Path, toy_data: Path, toy_run: Path, toy_config: FitConfig) -> None:
    shutil.copytree(toy_run, tmp_path / "run")
    (tmp_path / "run" / "model.keras").unlink()
    with pytest.raises(ModelNotFoundError):
        fit(toy_data, tmp_path / "run", toy_config, resume=True)


def test_other_settings_do_not_resume(toy_data: Path, toy_run: Path, toy_config: FitConfig) -> None:
    with pytest.raises(RunError, match="other settings"):
        fit(toy_data, toy_run, replace(toy_config, epochs=9), resume=True)


def test_a_damaged_state_is_said(tmp_path: Path, toy_data: Path, toy_run: Path, toy_config: FitConfig) -> None:
    shutil.copytree(toy_run, tmp_path / "run")
    (tmp_path / "run" / "state" / "state.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        fit(toy_data, tmp_path / "run", toy_config, resume=True)


def test_a_folder_with_something_else_is_refused(tmp_path: Path, toy_data: Path, toy_config: FitConfig) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(RunError, match="holds no run"):
        fit(toy_data, tmp_path, toy_config)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_that_cannot_be_made(tmp_path: Path, toy_data: Path, toy_config: FitConfig) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write") as caught:
        fit(toy_data, tmp_path / "file" / "run", toy_config)
    assert caught.value.exit_code == 6


def test_a_loss_that_is_not_finite_stops_and_spares_the_model(
    tmp_path: Path, toy_data: Path, toy_config: FitConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights turn into NaN in the second epoch, as they do when a learning rate is far too high."""
    config, run, begin = replace(toy_config, epochs=3), tmp_path / "run", Reseed.on_epoch_begin

    def poison(self: Reseed, epoch: int, logs: dict[str, object] | None = None) -> None:
        begin(self, epoch, logs)
        if epoch == 1:
            kernel = self.model.layers[-1].get_layer("logits").kernel
            kernel.assign(np.full(kernel.shape, np.nan))

    monkeypatch.setattr(Reseed, "on_epoch_begin", poison)
    with pytest.raises(DivergedError, match="no longer finite in epoch 2") as caught:
        fit(toy_data, run, config)
    assert caught.value.exit_code == 1
    assert [row["epoch"] for row in history(run)] == [1]
    weights = load_model(run / "model.keras")[0].get_weights()
    assert all(np.isfinite(w).all() for w in weights)


def test_data_without_validation_faces(
    tmp_path: Path, make_toy_data: Callable[..., Path], toy_config: FitConfig
) -> None:
    data = make_toy_data(tmp_path / "data", valid=0)
    with pytest.raises(DataError, match="no valid faces"):
        fit(data, tmp_path / "run", toy_config)
    assert not (tmp_path / "run").exists(), "a run that never began must not claim its folder"


def test_one_label_cannot_be_learned(tmp_path: Path, make_toy_data: Callable[..., Path], toy_config: FitConfig) -> None:
    data = make_toy_data(tmp_path / "data", train=8, valid=4)
    shutil.rmtree(data / "train" / "happy")
    with pytest.raises(DataError, match="fewer than two labels"):
        fit(data, tmp_path / "run", toy_config)


@pytest.mark.parametrize(("monitor", "best"), [("val_accuracy", 1), ("val_loss", 2)])
def test_the_first_best_epoch(monitor: str, best: int) -> None:
    rows = [{"val_accuracy": a, "val_loss": b} for a, b in ((0.1, 3.0), (0.5, 2.0), (0.5, 1.0), (0.4, 1.0))]
    assert best_epoch(rows, monitor) == best  # type: ignore[arg-type]
