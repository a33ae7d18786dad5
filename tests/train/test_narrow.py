from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer.errors import ModelError, OutputError, UsageError
from edgeinfer_train.narrow import narrow
from edgeinfer_train.networks.model import ModelInfo, build_core, load_model, save_model

LABELS = ("neutral", "happy")
PRIOR = {"neutral": 0.5, "happy": 0.5}


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """A network in which every fourth channel does nothing, since nothing scales it."""
    core = build_core("edgenet", 2, width=1.0, dropout=0.3)
    random = np.random.default_rng(0)
    for layer in core.layers:
        if getattr(layer, "gamma", None) is not None:
            count = layer.gamma.shape[0]
            alive = np.arange(count) % 4 != 0 if count > 16 else np.ones(count, bool)
            gamma = np.where(alive, random.uniform(0.5, 1.5, count), 0).astype(np.float32)
            beta = np.where(alive, random.normal(0, 0.1, count), 0).astype(np.float32)
            mean, variance = random.normal(0, 0.1, count), random.uniform(0.5, 1.5, count)
            layer.set_weights([gamma, beta, mean.astype(np.float32), variance.astype(np.float32)])
    path = tmp_path / "wide.keras"
    info = ModelInfo("edgenet", LABELS, "toy", "argmax", PRIOR, {"val_accuracy": 1.0}, {"width": 1.0, "dropout": 0.3})
    save_model(core, info, path)
    return path


def test_what_does_nothing_is_left_out(wide: Path, tmp_path: Path, grey_faces: NDArray[np.uint8]) -> None:
    out = tmp_path / "slim.keras"
    narrow(wide, out, width=0.75)
    before, _ = load_model(wide)
    after, info = load_model(out)
    assert after.count_params() < 0.65 * before.count_params()
    np.testing.assert_allclose(np.asarray(after(grey_faces)), np.asarray(before(grey_faces)), atol=1e-4)
    assert (info.settings["width"], info.validation, info.labels) == (0.75, {}, LABELS)


@pytest.mark.parametrize("width", [1.0, 2.0, 0.0, -1.0])
def test_it_must_become_narrower(wide: Path, tmp_path: Path, width: float) -> None:
    with pytest.raises(UsageError, match="not narrower"):
        narrow(wide, tmp_path / "x.keras", width=width)


def test_it_must_not_become_another_network(wide: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="built otherwise"):
        narrow(wide, tmp_path / "x.keras", width=0.5)


def test_other_backbones_and_folders_that_are_not_there(wide: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.keras"
    save_model(build_core("edgenet-sep", 2), ModelInfo("edgenet-sep", LABELS, "toy", "argmax", PRIOR, {}), other)
    with pytest.raises(ModelError, match="edgenet alone"):
        narrow(other, tmp_path / "x.keras", width=0.5)
    with pytest.raises(OutputError, match="cannot write"):
        narrow(wide, tmp_path / "none" / "x.keras", width=0.75)
