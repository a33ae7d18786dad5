"""Other backends and several devices, each in a separate process, because Keras selects its backend on import."""

from __future__ import annotations

import contextlib
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
from edgeinfer_train.config import FitConfig
from edgeinfer_train.config_file import save_config
from edgeinfer_train.errors import ConfigError
from edgeinfer_train.evaluation.evaluate import evaluate
from edgeinfer_train.training import devices
from edgeinfer_train.training.fit import fit

from ..conftest import NO_AUGMENTATION, SHALLOW

FIT = """
    import json, sys
    from pathlib import Path
    from edgeinfer_train.networks import edgenet
    from edgeinfer_train.training import fit
    from edgeinfer_train.config_file import load_config

    edgenet.STAGES = SHALLOW
    device_counts = []

    class RecordingBatches(fit.FaceBatches):
        def __init__(self, *arguments, devices, **options):
            device_counts.append(devices)
            super().__init__(*arguments, devices=devices, **options)

    fit.FaceBatches = RecordingBatches
    fit.fit(Path(sys.argv[1]), Path(sys.argv[2]), load_config(Path(sys.argv[3])))
    import keras
    print(json.dumps({"backend": keras.backend.backend(), "devices": device_counts}))
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


def train(backend: str, data: Path, run: Path, config: FitConfig) -> dict[str, object]:
    """Train in a new process that divides the processor into two devices; return its backend and device counts."""
    save_config(config, run.with_suffix(".toml"))
    program = textwrap.dedent(FIT).replace("SHALLOW", str(SHALLOW))
    code = textwrap.dedent(TWO_PROCESSORS[backend]) + program
    # Optimizing the compiled code takes longer than the few steps.
    flags = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if backend == "jax":
        environment["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=2"
    command = [sys.executable, "-c", code, str(data), str(run), str(run.with_suffix(".toml"))]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_devices_share_each_batch(backend: str, tmp_path: Path, toy_data: Path, toy_config: FitConfig) -> None:
    """Check also that a model that was trained on JAX has the same metrics on TensorFlow."""
    # The number of faces is not a multiple of the batch size.
    augment = toy_config.augment if backend == "jax" else NO_AUGMENTATION
    config = dataclasses.replace(toy_config, devices="all", limit=95, epochs=2, augment=augment)
    result = train(backend, toy_data, tmp_path / "run", config)
    assert result == {"backend": backend, "devices": [2]}
    recorded = json.loads((tmp_path / "run" / "metrics.json").read_text())["validation"]
    on_tensorflow = evaluate(tmp_path / "run", toy_data, split="valid").metrics
    assert on_tensorflow.accuracy == recorded["accuracy"] > 0.9
    assert on_tensorflow.loss == pytest.approx(recorded["loss"], rel=1e-4)


def test_batch_size_that_devices_cannot_share_is_rejected(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, toy_data: Path, toy_config: FitConfig
) -> None:
    monkeypatch.setattr("edgeinfer_train.training.fit.device_scope", lambda _: contextlib.nullcontext(3))
    with pytest.raises(ConfigError, match="multiple of 3"):
        fit(toy_data, tmp_path / "run", toy_config)
    assert not (tmp_path / "run").exists()


def test_unsupported_backend_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras.backend.backend", lambda: "torch")
    with pytest.raises(CapabilityError, match="Keras on torch"), devices.device_scope("all"):
        pass
