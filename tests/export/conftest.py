"""Small untrained networks and a small prepared folder; nothing here needs a real face."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest

pytest.importorskip("tf2onnx", reason="the export extra is not installed")

import keras
import onnx

from edgeinfer_train.config import BackboneName, EdgeName
from edgeinfer_train.labels import EIGHT_LABELS
from edgeinfer_train.networks.model import MODEL_FILE, ModelInfo, build_core, load_model, save_model

LABELS = EIGHT_LABELS[:7]
DataMaker = Callable[..., Path]
Graphs = dict[str, tuple[keras.Model, onnx.ModelProto]]


def used_core(backbone: BackboneName) -> keras.Model:
    """A small network whose normalization has statistics as after training, so that folding has work to do."""
    keras.utils.set_random_seed(7)
    core, random = build_core(backbone, len(LABELS), width=0.25), np.random.default_rng(7)
    for layer in core.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            size = layer.gamma.shape[0]
            spread, centre = random.uniform(0.6, 1.4, (2, size)), random.normal(0, 0.3, (2, size))
            layer.set_weights([spread[0], centre[0], centre[1], spread[1]])
    return core


def info(backbone: str = "edgenet", **changes: object) -> ModelInfo:
    values = {
        "backbone": backbone,
        "labels": LABELS,
        "dataset": "blobs",
        "label_mode": "made up",
        "prior": dict.fromkeys(LABELS, 1 / 7),
        "validation": {"val_accuracy": 0.5},
        **changes,
    }
    return ModelInfo(**values)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run folder for each backbone."""
    folders: dict[str, Path] = {}
    for name in get_args(EdgeName):
        folders[name] = tmp_path_factory.mktemp(name)
        save_model(used_core(name), info(name), folders[name] / MODEL_FILE)
    return folders


@pytest.fixture(scope="session")
def run(runs: dict[str, Path]) -> Path:
    return runs["edgenet"]


@pytest.fixture(scope="session")
def graphs(runs: dict[str, Path]) -> Graphs:
    """Each backbone's Keras model and its float32 graph; not to be changed."""
    from edgeinfer_export.convert.graph import to_onnx

    models = {name: load_model(folder / MODEL_FILE)[0] for name, folder in runs.items()}
    return {name: (model, to_onnx(model).graph) for name, model in models.items()}


def write_face(path: Path, random: np.random.Generator, label: int) -> None:
    """A blob on noise, its place given by the label."""
    face = random.integers(0, 90, (48, 48)).astype(np.uint8)
    cv2.circle(face, (8 + 5 * label, 12 + 4 * label), 7, 200, -1)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), face)


@pytest.fixture(scope="session")
def make_data(tmp_path_factory: pytest.TempPathFactory) -> DataMaker:
    """Writes a prepared folder with so many faces of each label in each split."""

    def make(*, labels: tuple[str, ...] = LABELS, seed: int = 0, **counts: int) -> Path:
        root, random = tmp_path_factory.mktemp("data"), np.random.default_rng(seed)
        for split, count in counts.items():
            for index, label in enumerate(labels):
                for number in range(count):
                    write_face(root / split / label / f"{split}-{label}-{number:03}.png", random, index)
        described = {"name": "blobs", "labels": labels, "label_mode": "by place", "complete": True}
        (root / "dataset.json").write_text(json.dumps(described), encoding="utf-8")
        return root

    return make


@pytest.fixture(scope="session")
def data(make_data: DataMaker) -> Path:
    """A folder with more validation faces than a verdict takes."""
    return make_data(train=10, valid=40)


@pytest.fixture(scope="session")
def small_data(make_data: DataMaker) -> Path:
    """A folder with few faces, for tests that need only some."""
    return make_data(train=4, valid=2, seed=1)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where to export to: an empty folder of its own."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "model.onnx"
