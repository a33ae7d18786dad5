"""Other backends and several devices: each needs a process of its own, since Keras chooses once."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from edgeinfer.errors import CapabilityError
from edgeinfer_train.config import FitConfig, save_config
from edgeinfer_train.errors import ConfigError
from edgeinfer_train.evaluation.evaluate import evaluate
from edgeinfer_train.training import devices
from edgeinfer_train.training.batches import FaceBatches
from edgeinfer_train.training.fit import fit

FIT = """
    import json, sys
    from pathlib import Path
    from edgeinfer_train import devices, fit
    from edgeinfer_train.config import load_config

    seen = []

    class Counted(fit.FaceBatches):
        def __init__(self, *arguments, devices, **options):
            seen.append(devices)
            super().__init__(*arguments, devices=devices, **options)

    fit.FaceBatches = Counted
    fit.fit(Path(sys.argv[1]), Path(sys.argv[2]), load_config(Path(sys.argv[3])))
    import keras
    print(json.dumps({"backend": keras.backend.backend(), "devices": seen}))
"""
TWO_PROCESSORS = {
    "tensorflow": """
        import tensorflow as tf
        processor = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
    """,
    "jax": "",
}
needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")
BACKENDS = ["tensorflow", pytest.param("jax", marks=needs_jax)]


def train(backend: str, data: Path, run: Path, config: FitConfig, *, two: bool = False) -> dict[str, object]:
    """Fit in a fresh process; what it says of itself."""
    save_config(config, run.with_suffix(".toml"))
    code = (textwrap.dedent(TWO_PROCESSORS[backend]) if two else "") + textwrap.dedent(FIT)
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if two and backend == "jax":
        environment["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
    command = [sys.executable, "-c", code, str(data), str(run), str(run.with_suffix(".toml"))]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    said: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return said


def last_row(run: Path) -> dict[str, float]:
    with (run / "history.csv").open(newline="") as file:
        return {name: float(value) for name, value in list(csv.DictReader(file))[-1].items()}


@needs_jax
def test_a_model_trained_on_jax_is_measured_alike_on_tensorflow(
    tmp_path: Path, toy_data: Path, toy_config: FitConfig
) -> None:
    said = train("jax", toy_data, tmp_path / "run", toy_config)
    assert said == {"backend": "jax", "devices": [1]}
    there = json.loads((tmp_path / "run" / "metrics.json").read_text())["validation"]["accuracy"]
    here = evaluate(tmp_path / "run", toy_data, split="valid").metrics.accuracy
    assert here == there
    assert here > 0.9


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_devices_share_every_batch(backend: str, tmp_path: Path, toy_data: Path, toy_config: FitConfig) -> None:
    config = dataclasses.replace(toy_config, devices="all", limit=95)  # an odd number leaves one face over
    said = train(backend, toy_data, tmp_path / "run", config, two=True)
    assert said == {"backend": backend, "devices": [2]}
    assert last_row(tmp_path / "run")["val_accuracy"] > 0.9
    assert evaluate(tmp_path / "run", toy_data, split="valid").metrics.accuracy > 0.9


def test_several_devices_get_equal_parts_of_whole_batches(toy_data: Path) -> None:
    from edgeinfer_train.datasets.load import load_split

    faces = load_split(toy_data, "train", limit=23)
    for count, sizes in ((1, [8, 8, 7]), (4, [8, 8])):
        batches = FaceBatches(faces, batch_size=8, mixup=0.0, seed=0, devices=count)
        assert [len(batches[n][0]) for n in range(len(batches))] == sizes


def test_a_batch_that_the_devices_cannot_share_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, toy_data: Path, toy_config: FitConfig
) -> None:
    monkeypatch.setattr("edgeinfer_train.training.fit.spread", lambda _: contextlib.nullcontext(3))
    with pytest.raises(ConfigError, match="multiple of 3"):
        fit(toy_data, tmp_path / "run", toy_config)
    assert not (tmp_path / "run").exists()


def test_a_backend_that_cannot_spread_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras.backend.backend", lambda: "torch")
    with pytest.raises(CapabilityError, match="Keras on torch"), devices.spread("all"):
        pass
