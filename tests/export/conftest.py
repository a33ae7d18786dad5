"""Untrained networks and prepared folders of generated faces. No test of the export needs real faces."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("tf2onnx", reason="the export extra is not installed")

import keras
import onnx

from edgeinfer.diagnostics.latency import measure_latencies_ms
from edgeinfer_train.config import BackboneName, EdgeName
from edgeinfer_train.labels import EIGHT_LABELS
from edgeinfer_train.networks.model import MODEL_FILE, ModelInfo, build_core, load_model, save_model
from tools.shared import build_once

LABELS = EIGHT_LABELS[:7]
DataMaker = Callable[..., Path]
Graphs = dict[str, tuple[keras.Model, onnx.ModelProto]]


@pytest.fixture(autouse=True, scope="module")
def _fast_export() -> Iterator[None]:
    """Skip work on which no result depends; the tests of the command line run other processes without this.

    The scope ends with the module, because other tests of the same process must not be affected. Few latency rounds
    are measured. Networks with raw input predict without compiling a function. tf2onnx does not copy the graph before
    each optimizer, so that an optimizer that fails also fails the test.
    """
    from edgeinfer_export.selection import evaluation

    few = functools.partial(measure_latencies_ms, warm_up=1, min_rounds=3, max_rounds=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "measure_latencies_ms", few)
        compiled = keras.Model.predict_on_batch

        def predict(model: keras.Model, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            raw = getattr(getattr(model, "input", None), "dtype", None) == "uint8"
            return np.asarray(model(images, training=False) if raw else compiled(model, images))

        patch.setattr(keras.Model, "predict_on_batch", predict)
        patch.setenv("TF2ONNX_CATCH_ERRORS", "FALSE")
        yield


def build_network(backbone: BackboneName) -> keras.Model:
    """Build a narrow network whose normalization has non-trivial statistics, so that folding changes the weights."""
    keras.utils.set_random_seed(7)
    core, random = build_core(backbone, len(LABELS), width=0.25), np.random.default_rng(7)
    for layer in core.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            size = layer.gamma.shape[0]
            spread, centre = random.uniform(0.6, 1.4, (2, size)), random.normal(0, 0.3, (2, size))
            layer.set_weights([spread[0], centre[0], centre[1], spread[1]])
    return core


def make_info(backbone: str = "edgenet", **changes: object) -> ModelInfo:
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
    """One run folder for each edge network."""

    def build(folder: Path) -> None:
        for name in get_args(EdgeName):
            (folder / name).mkdir()
            save_model(build_network(name), make_info(name), folder / name / MODEL_FILE)

    folder = build_once(tmp_path_factory, "untrained-runs", build)
    return {name: folder / name for name in get_args(EdgeName)}


@pytest.fixture(scope="session")
def run(runs: dict[str, Path]) -> Path:
    return runs["edgenet"]


@pytest.fixture(scope="session")
def graphs(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Graphs:
    """Keras model and float32 graph of each edge network. Tests must not modify them."""
    from edgeinfer_export.convert.graph import to_onnx

    models = {name: load_model(folder / MODEL_FILE)[0] for name, folder in runs.items()}

    def convert(folder: Path) -> None:
        for name, model in models.items():
            onnx.save(to_onnx(model).graph, folder / f"{name}.onnx")

    folder = build_once(tmp_path_factory, "graphs", convert)
    return {name: (model, onnx.load(folder / f"{name}.onnx")) for name, model in models.items()}


def write_face(path: Path, random: np.random.Generator, label: int) -> None:
    """Write noise with a bright disc whose position depends on the label."""
    face = random.integers(0, 90, (48, 48)).astype(np.uint8)
    cv2.circle(face, (8 + 5 * label, 12 + 4 * label), 7, 200, -1)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), face)


@pytest.fixture(scope="session")
def make_data(tmp_path_factory: pytest.TempPathFactory) -> DataMaker:
    """Function that writes a prepared folder with N faces of each label per split, for example `train=3, valid=5`."""

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
    """Prepared folder with more validation faces than the comparison with Keras uses."""
    return make_data(train=10, valid=40)


@pytest.fixture(scope="session")
def small_data(make_data: DataMaker) -> Path:
    """Prepared folder with few faces."""
    return make_data(train=4, valid=2, seed=1)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Path of the model file in an empty folder."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "model.onnx"
