from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer.errors import ModelError, OutputError
from edgeinfer_train.errors import ConfigError
from edgeinfer_train.networks.model import ModelInfo, build_core, load_model, save_model

LABELS = ("neutral", "happy")
PRIOR = {"neutral": 0.5, "happy": 0.5}
Change = Callable[[float], tuple[keras.Model, keras.Model, ModelInfo]]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write an edgenet in which every fourth channel of the wider layers has a scale of 0."""
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
    path = tmp_path_factory.mktemp("wide") / "wide.keras"
    info = ModelInfo("edgenet", LABELS, "toy", "argmax", PRIOR, {"val_accuracy": 1.0}, {"width": 1.0, "dropout": 0.3})
    save_model(core, info, path)
    return path


@pytest.fixture
def changed(width_tool: ModuleType, wide: Path, tmp_path: Path, grey_faces: NDArray[np.uint8]) -> Change:
    """Return a function that changes the width, checks that the outputs stay, and returns both networks."""

    def change(width: float) -> tuple[keras.Model, keras.Model, ModelInfo]:
        width_tool.set_width(wide, tmp_path / "changed.keras", width=width)
        before, _ = load_model(wide)
        after, info = load_model(tmp_path / "changed.keras")
        np.testing.assert_allclose(np.asarray(after(grey_faces)), np.asarray(before(grey_faces)), atol=1e-4)
        return before, after, info

    return change


def test_channels_with_scale_0_are_removed(changed: Change) -> None:
    before, after, info = changed(0.75)
    assert after.count_params() < 0.65 * before.count_params()
    assert (info.settings["width"], info.validation, info.labels) == (0.75, {}, LABELS)


def test_wider_network_computes_the_same_outputs_and_learns(changed: Change, grey_faces: NDArray[np.uint8]) -> None:
    before, after, info = changed(1.25)
    assert after.count_params() > before.count_params()
    assert info.settings["width"] == 1.25
    start = after.get_layer("logits").get_weights()[0]
    after.compile("sgd", "mse")
    after.fit(grey_faces, np.eye(2, dtype=np.float32)[[0] * len(grey_faces)], epochs=2, verbose=0)
    new = after.get_layer("logits").get_weights()[0][before.get_layer("logits").kernel.shape[0] :]
    assert not start[-len(new) :].any()
    assert new.any(axis=1).mean() > 0.5


def test_network_without_face_normalization_gets_it(
    width_tool: ModuleType, wide: Path, tmp_path: Path, grey_faces: NDArray[np.uint8]
) -> None:
    def clone(layer: keras.Layer) -> keras.Layer:
        if isinstance(layer, keras.layers.LayerNormalization):
            return keras.layers.Identity()
        return type(layer).from_config(layer.get_config())

    core, info = load_model(wide)
    old = keras.models.clone_model(core, clone_function=clone)
    old.set_weights(core.get_weights())
    save_model(old, info, tmp_path / "old.keras")
    width_tool.set_width(tmp_path / "old.keras", tmp_path / "new.keras", width=1.0)
    new, _ = load_model(tmp_path / "new.keras")
    assert not np.allclose(np.asarray(old(grey_faces)), np.asarray(core(grey_faces)))
    np.testing.assert_allclose(np.asarray(new(grey_faces)), np.asarray(core(grey_faces)), atol=1e-4)


@pytest.mark.parametrize("width", [0.0, -1.0, 17.0])
def test_width_must_be_in_range(width_tool: ModuleType, wide: Path, tmp_path: Path, width: float) -> None:
    with pytest.raises(ConfigError, match="expected a value above 0"):
        width_tool.set_width(wide, tmp_path / "x.keras", width=width)


def test_narrow_network_with_a_pooling_layer_becomes_wider(
    width_tool: ModuleType, wide: Path, tmp_path: Path, grey_faces: NDArray[np.uint8]
) -> None:
    width_tool.set_width(wide, tmp_path / "narrow.keras", width=0.5)
    width_tool.set_width(tmp_path / "narrow.keras", tmp_path / "wide.keras", width=1.0)
    narrow, again = load_model(tmp_path / "narrow.keras")[0], load_model(tmp_path / "wide.keras")[0]
    assert len(narrow.layers) != len(again.layers)
    np.testing.assert_allclose(np.asarray(again(grey_faces)), np.asarray(narrow(grey_faces)), atol=1e-4)


def test_tool_rejects_other_backbones_and_invalid_outputs(width_tool: ModuleType, wide: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.keras"
    save_model(build_core("edgenet-sep", 2), ModelInfo("edgenet-sep", LABELS, "toy", "argmax", PRIOR, {}), other)
    with pytest.raises(ModelError, match="only the width of edgenet"):
        width_tool.set_width(other, tmp_path / "x.keras", width=0.5)
    save_model(load_model(other)[0], ModelInfo("edgenet", LABELS, "toy", "argmax", PRIOR, {}), other)
    with pytest.raises(ModelError, match="other layers"):
        width_tool.set_width(other, tmp_path / "x.keras", width=0.5)
    with pytest.raises(OutputError, match="cannot write"):
        width_tool.set_width(wide, tmp_path / "none" / "x.keras", width=0.75)
    (tmp_path / "folder.keras").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        width_tool.set_width(wide, tmp_path / "folder.keras", width=0.75)


@pytest.mark.parametrize(("out", "code"), [("slim.keras", 0), ("slim.onnx", 2), ("none/slim.keras", 6)])
def test_command_exit_codes(
    run_tool: Callable[..., int], width_tool: ModuleType, wide: Path, tmp_path: Path, out: str, code: int
) -> None:
    assert run_tool(width_tool, wide, "--width", 0.75, "--out", tmp_path / out) == code
    assert (tmp_path / out).is_file() == (code == 0)
