from __future__ import annotations

import json
import re
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer.errors import ModelError, ModelNotFoundError
from edgeinfer_train.networks.model import (
    INFO_MEMBER,
    ModelInfo,
    backbone_of,
    build_core,
    freeze,
    load_model,
    read_model_info,
    save_model,
    save_weights,
    source_commit,
    with_precision,
)

INFO = ModelInfo(
    "edgenet", ("neutral", "happy"), "Toy", "by brightness", {"neutral": 0.5, "happy": 0.5}, {"val_loss": 1.0}
)


@pytest.fixture(scope="module")
def core() -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_core("edgenet", 2, width=0.25, dropout=0.3)


def test_saved_model_and_info_are_loaded(tmp_path: Path, core: keras.Model, grey_faces: NDArray[np.uint8]) -> None:
    save_model(core, INFO, tmp_path / "model.keras")
    loaded, info = load_model(tmp_path / "model.keras")
    assert info == INFO
    assert read_model_info(tmp_path / "model.keras") == INFO
    np.testing.assert_array_equal(np.asarray(loaded(grey_faces)), np.asarray(core(grey_faces)))
    assert [p.name for p in tmp_path.iterdir()] == ["model.keras"]


def test_file_from_an_earlier_version_is_read(tmp_path: Path, core: keras.Model) -> None:
    path, older = tmp_path / "model.keras", tmp_path / "older.keras"
    save_model(core, INFO, path)
    with zipfile.ZipFile(path) as new, zipfile.ZipFile(older, "w") as old:
        for name in new.namelist():
            content = new.read(name)
            if name == INFO_MEMBER:
                values = json.loads(content)
                del values["settings"], values["commit"]
                content = json.dumps(values).encode()
            old.writestr(name, content)
    assert read_model_info(older) == INFO


def test_source_commit_requires_a_tracked_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "train" / "model.py"
    copy.parent.mkdir()
    copy.write_text("")
    monkeypatch.setattr("edgeinfer_train.networks.model.__file__", str(copy))
    assert source_commit() == ""

    def git(*arguments: str) -> None:
        name = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
        subprocess.run(["git", *name, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    assert source_commit() == "", "an untracked file does not belong to the repository around it"
    git("add", ".")
    git("commit", "-m", "one")
    assert re.fullmatch("[0-9a-f]{40}", source_commit())
    copy.write_text("changed")
    assert re.fullmatch("[0-9a-f]{40}-dirty", source_commit())


def test_saved_weights_are_loaded(tmp_path: Path, core: keras.Model, grey_faces: NDArray[np.uint8]) -> None:
    save_weights(core, tmp_path / "model.weights.h5")
    other = build_core("edgenet", 2, width=0.25)
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(np.asarray(other(grey_faces)), np.asarray(core(grey_faces)))
    assert [p.name for p in tmp_path.iterdir()] == ["model.weights.h5"]


def write_invalid_zip(path: Path) -> None:
    path.write_bytes(b"no zip at all")


def omit_info(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", "{}")


def write_incomplete_info(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("edgeinfer.json", '{"labels": ["a"]}')


def omit_network(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        values = {"backbone": "edgenet", "dataset": "x", "label_mode": "x", "prior": {}, "validation": {}}
        file.writestr("edgeinfer.json", json.dumps({**values, "labels": ["a", "b"]}))
        file.writestr("config.json", "{}")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (write_invalid_zip, "is not a .keras file"),
        (omit_info, "has no labels or data set name"),
        (write_incomplete_info, "has no labels or data set name"),
        (omit_network, "is not a Keras model"),
    ],
)
def test_damaged_files_are_rejected(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    path = tmp_path / "model.keras"
    damage(path)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(path)
    assert caught.value.exit_code == 5


def test_truncated_file_is_rejected(tmp_path: Path, core: keras.Model) -> None:
    path = tmp_path / "model.keras"
    save_model(core, INFO, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ModelError):
        load_model(path)


def test_missing_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no model at"):
        load_model(tmp_path / "model.keras")


def trainable_layer_names(core: keras.Model) -> list[str]:
    return [layer.name for layer in core.layers if layer.trainable and layer.weights]


def test_freeze_counts_backbone_layers_from_the_end() -> None:
    core = build_core("edgenet", 2, width=0.25, dropout=0.3)
    layers = [layer for layer in core.layers if layer.name != "logits"]
    for count, expected in (
        (-1, [layer.name for layer in layers if layer.weights]),
        (0, []),
        (12, [layer.name for layer in layers if layer.weights and layer in layers[-13:-1]]),  # the last is Dropout
        (999, [layer.name for layer in layers if layer.weights]),
    ):
        freeze(core, count)
        assert trainable_layer_names(core) == [*expected, "logits"], count


def test_frozen_normalization_keeps_its_statistics(grey_faces: NDArray[np.uint8]) -> None:
    core = build_core("edgenet", 2, width=0.25)
    freeze(core, 0)
    before = [w.numpy() for w in core.non_trainable_variables]
    trained = np.asarray(core(grey_faces, training=True))
    np.testing.assert_array_equal(trained, np.asarray(core(grey_faces, training=False)))
    for variable, old in zip(core.non_trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old)
    freeze(core, -1)
    assert np.abs(np.asarray(core(grey_faces, training=True)) - trained).max() > 1e-3


def test_backbone_shares_the_weights_of_its_core(grey_faces: NDArray[np.uint8]) -> None:
    core = build_core("edgenet", 2, width=0.25, dropout=0.3, image_size=64)
    backbone = backbone_of(core)
    assert backbone.input_shape == (None, 64, 64, 1)
    assert backbone.output_shape == (None, core.layers[-1].kernel.shape[0])
    assert {id(w) for w in core.weights} - {id(w) for w in backbone.weights} == {
        id(w) for w in core.get_layer("logits").weights
    }


def test_core_in_mixed_precision_gives_similar_logits(grey_faces: NDArray[np.uint8]) -> None:
    core = build_core("edgenet", 3, width=0.25, dropout=0.3)
    assert with_precision(core, "float32") is core
    half = with_precision(core, "mixed_bfloat16")
    assert {layer.compute_dtype for layer in half.layers[1:-1]} == {"bfloat16"}
    assert half.output.dtype == "float32"
    found, expected = np.asarray(half(grey_faces)), np.asarray(core(grey_faces))
    assert (found != expected).any()
    np.testing.assert_allclose(found, expected, atol=0.05 * np.abs(expected).max())
