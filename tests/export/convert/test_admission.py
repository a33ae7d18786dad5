"""Damaged and hostile model files: rejected with a one-line error, in bounded memory and without running their code."""

from __future__ import annotations

import contextlib
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from edgeinfer.errors import EdgeInferError, ModelError, UsageError
from edgeinfer_export.convert.source import read_source
from edgeinfer_export.errors import ExportError

from ..conftest import LABELS, DataMaker

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def faces(make_data: DataMaker) -> Path:
    return make_data(train=1)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    build().save(path)
    return path


def build() -> keras.Model:
    return keras.Sequential(
        [keras.Input((12, 12, 1), dtype="uint8"), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(7)]
    )


def rewrite(source: Path, path: Path, **members: bytes) -> Path:
    """Copy a `.keras` file with modified members, compressed; the underscores of a name stand for dots."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        content = {name: old.read(name) for name in old.namelist()}
        for name, value in (content | {key.replace("_", "."): value for key, value in members.items()}).items():
            new.writestr(name, value)
    return path


def with_config(source: Path, path: Path, change: Change) -> Path:
    with zipfile.ZipFile(source) as archive:
        config = json.loads(archive.read("config.json"))
    change(config)
    return rewrite(source, path, config_json=json.dumps(config).encode())


def layer(config: dict[str, Any], /, **values: Any) -> None:
    config["config"]["layers"][-1].update(values)


def dense(config: dict[str, Any], /, **values: Any) -> None:
    config["config"]["layers"][-1]["config"].update(values)


LAMBDA = {"class_name": "__lambda__", "config": {"value": "4wEAAAA=", "defaults": None, "closure": None}}
CONFIGS: dict[str, tuple[Change, str]] = {
    "lambda": (lambda c: layer(c, class_name="Lambda", config={"name": "code", "function": LAMBDA}), "Lambda layer"),
    "lambda activation": (lambda c: dense(c, activation=LAMBDA), "code is not executed"),
    "saved model": (lambda c: layer(c, class_name="TFSMLayer", config={"filepath": "/tmp/x"}), "TFSMLayer"),
    "vocabulary": (lambda c: layer(c, class_name="StringLookup", config={"vocabulary": "/etc/passwd"}), "StringLookup"),
    "custom layer": (lambda c: layer(c, module="attack", class_name="Attack"), "custom class Attack"),
    "custom registered layer": (
        lambda c: layer(c, module=None, registered_name="attack>Attack", class_name="Attack"), "custom class Attack",
    ),
    "file function": (
        lambda c: dense(c, activation={"module": "keras.utils", "class_name": "get_file", "config": {}}), "get_file",
    ),
    "subclassed": (lambda c: c.update(module="net", class_name="Net"), "subclassed model of the class Net"),
    "billions of units": (lambda c: dense(c, units=2_000_000_000), "cannot be loaded by Keras"),
    "negative units": (lambda c: dense(c, units=-1), "cannot be loaded by Keras"),
    "unknown layer": (lambda c: layer(c, class_name="Denser"), "cannot be loaded by Keras"),
    "unknown activation": (lambda c: dense(c, activation="sharp"), "cannot be loaded by Keras"),
    "no layers": (lambda c: c.update(config=[]), "cannot be loaded by Keras"),
}  # fmt: skip


def refuse(path: Path, faces: Path) -> str:
    with pytest.raises(EdgeInferError) as caught:
        read_source(path, labels=LABELS, data=faces)
    assert caught.value.exit_code == 5
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    return message


@pytest.mark.parametrize(("change", "message"), CONFIGS.values(), ids=CONFIGS)
def test_hostile_configuration_is_refused(
    tmp_path: Path, saved: Path, faces: Path, change: Change, message: str
) -> None:
    assert message in refuse(with_config(saved, tmp_path / "model.keras", change), faces)


MEMBERS: dict[str, tuple[dict[str, bytes], str]] = {
    "zip bomb": ({"model_weights_h5": bytes(30_000_000)}, "expands more than 100 times"),
    "large configuration": ({"config_json": b" " * 40_000_000}, "at most 34 MB"),
    "deep configuration": ({"config_json": b"[" * 100_000}, "is damaged"),
    "configuration of another type": ({"config_json": b"[]"}, "no model configuration"),
    "no JSON": ({"config_json": b"{"}, "is damaged"),
    "no weights": ({"model_weights_h5": b""}, "is damaged"),
}


@pytest.mark.parametrize(("members", "message"), MEMBERS.values(), ids=MEMBERS)
def test_hostile_archive_is_refused(
    tmp_path: Path, saved: Path, faces: Path, members: dict[str, bytes], message: str
) -> None:
    assert message in refuse(rewrite(saved, tmp_path / "model.keras", **members), faces)


def test_truncated_archives_are_refused(tmp_path: Path, saved: Path, faces: Path) -> None:
    content, path = saved.read_bytes(), tmp_path / "model.keras"
    for size in (*range(0, len(content), len(content) // 8), len(content) - 1):
        path.write_bytes(content[:size])
        refuse(path, faces)


def test_mutated_archives_are_refused_or_loaded(tmp_path: Path, saved: Path, faces: Path) -> None:
    content, path, random = saved.read_bytes(), tmp_path / "model.keras", np.random.default_rng(1)
    for _ in range(20):
        mutated = bytearray(content)
        for position in random.integers(0, len(content), 8):
            mutated[position] = random.integers(256)
        path.write_bytes(mutated)
        with contextlib.suppress(ModelError, ExportError, UsageError):  # exit codes 5 and 2; others are bugs
            read_source(path, labels=LABELS, data=faces)


@pytest.mark.parametrize("kind", ["external link", "external data", "large array"])
def test_weights_that_refer_to_other_data_are_refused(tmp_path: Path, faces: Path, kind: str) -> None:
    path = tmp_path / "model.h5"
    build().save(path)
    with h5py.File(path, "a") as file:
        if kind == "external link":
            file["link"] = h5py.ExternalLink("/etc/passwd", "/")
        elif kind == "external data":
            file.create_dataset("data", (10,), "u1", external=[("/etc/passwd", 0, 10)])
        else:
            file.create_dataset("data", (10**10,), "f4", chunks=(1000,), compression="gzip")
    assert ("at most" if kind == "large array" else "to other data") in refuse(path, faces)


def test_legacy_hdf5_file_is_read(tmp_path: Path, faces: Path) -> None:
    model, images = build(), np.random.default_rng(3).integers(0, 256, (3, 12, 12, 1), dtype=np.uint8)
    path = tmp_path / "model.h5"
    model.save(path)
    renamed = shutil.copy(path, tmp_path / "renamed.keras")
    for file in (path, renamed):
        network = read_source(file, labels=LABELS, data=faces).model
        np.testing.assert_allclose(network.predict_on_batch(images), model.predict_on_batch(images), rtol=1e-5)


def test_weights_without_an_architecture_are_refused(tmp_path: Path, faces: Path) -> None:
    path = tmp_path / "model.weights.h5"
    build().save_weights(path)
    assert "weights without an architecture" in refuse(path, faces)


def test_tensorflow_saved_model_is_refused(tmp_path: Path, faces: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"")
    assert "is a TensorFlow SavedModel" in refuse(tmp_path, faces)


def test_file_without_labels_requires_them(saved: Path) -> None:
    with pytest.raises(UsageError, match="pass `labels`"):
        read_source(saved)
