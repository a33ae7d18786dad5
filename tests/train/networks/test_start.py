from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer.errors import ModelError, ModelNotFoundError
from edgeinfer_train.config import FitConfig
from edgeinfer_train.errors import ConfigError
from edgeinfer_train.networks import start as start_module
from edgeinfer_train.networks.model import ModelInfo, build_core, save_model
from edgeinfer_train.networks.start import Start, bundled_model, find_start, start_path

LABELS = ("neutral", "happy", "surprise", "sad")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write an untrained narrow network with four labels and an input of 40 pixels."""
    keras.utils.set_random_seed(1)
    core = build_core("edgenet", 4, width=0.25, image_size=40)
    core.get_layer("logits").bias.assign([1.0, 2.0, 3.0, 4.0])
    path = tmp_path_factory.mktemp("start") / "four.keras"
    info = ModelInfo("edgenet", LABELS, "none", "none", dict.fromkeys(LABELS, 0.25), {}, {"width": 0.25})
    save_model(core, info, path)
    return path


@pytest.fixture
def start(model: Path) -> Start:
    found = find_start(FitConfig(weights=str(model)))
    assert found is not None
    return found


HEADS = {
    "another order": (("sad", "surprise", "happy", "neutral"), [3, 2, 1, 0]),
    "a subset": (("happy", "sad"), [1, 3]),
    "synonyms": (("Sadness", "HAPPINESS"), [3, 1]),
    "a new label": (("happy", "bored"), None),
    "two names of one label": (("happy", "happiness"), None),
}


@pytest.mark.parametrize(("labels", "columns"), HEADS.values(), ids=HEADS.keys())
def test_head_is_kept_if_the_labels_agree(start: Start, labels: tuple[str, ...], columns: list[int] | None) -> None:
    assert start.head_columns(labels) == columns


def test_network_has_the_structure_and_the_logits_of_the_model(start: Start, grey_faces: NDArray[np.uint8]) -> None:
    """Compare the logits of a network with a permuted head with those of the file."""
    faces = grey_faces[:, :40, :40]
    core = start.build(2, FitConfig(image_size=40, dropout=0.2), "float32")
    start.set_body(core)
    text = start.set_head(core, ("sad", "happy"), faces, np.zeros((len(faces), 2), np.float32))
    np.testing.assert_allclose(core(faces), np.asarray(start.network(faces))[:, [3, 1]], atol=1e-5)
    assert start.describe(text) == (
        "starts from four.keras: the edgenet network (width 0.25, 40x40) and the head for 2 of the 4 labels"
    )


def test_new_labels_have_a_solved_head(start: Start, grey_faces: NDArray[np.uint8]) -> None:
    """Use many copies of two faces."""
    core = start.build(2, FitConfig(image_size=48), "float32")
    start.set_body(core)
    faces = np.repeat(grey_faces[[0, 5]], 30, axis=0)
    targets = np.repeat(np.eye(2, dtype=np.float32), 30, axis=0)
    text = start.set_head(core, ("a", "b"), faces, targets)
    assert text.startswith("a new head for a, b, fitted to the labels")
    assert text.endswith(" of 60 faces")
    assert np.asarray(core(grey_faces[[0, 5]])).argmax(axis=1).tolist() == [0, 1]


def test_structure_comes_from_the_file_and_not_from_the_builder(tmp_path: Path) -> None:
    """Use a network without the normalization of the current builder."""
    image = keras.Input((48, 48, 1), dtype="uint8", name="image")
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(image))
    core = keras.Model(image, keras.layers.Dense(2, name="logits")(features))
    save_model(core, ModelInfo("edgenet", ("happy", "sad"), "none", "none", {}, {}), tmp_path / "old.keras")
    start = find_start(FitConfig(weights=str(tmp_path / "old.keras")))
    assert start is not None
    assert start.build(2, FitConfig(image_size=48, dropout=0.0), "float32").count_params() == core.count_params()


def test_contradicting_settings_are_rejected(model: Path) -> None:
    assert find_start(FitConfig(weights=str(model), width=0.25)) is not None
    with pytest.raises(ConfigError, match=r"`width` is 0\.5, but .* has 0\.25"):
        find_start(FitConfig(weights=str(model), width=0.5))
    with pytest.raises(ModelError, match="has the backbone edgenet, not edgenet-sep"):
        find_start(FitConfig(weights=str(model), backbone="edgenet-sep"))


def test_bundled_model_is_found_by_name() -> None:
    assert start_path("bundled") == bundled_model()
    found = find_start(FitConfig(weights="bundled"))
    assert found is not None
    assert (found.width, found.image_size) == (0.92, 48)
    assert found.head_columns(found.info.labels[:7]) == list(range(7))


def test_bundled_model_of_a_wheel_lies_in_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run as in site-packages, first without the file and then with it."""
    monkeypatch.setattr(start_module, "__file__", str(tmp_path / "edgeinfer_train" / "networks" / "start.py"))
    with pytest.raises(ModelNotFoundError, match=r"lacks edgenet-ferplus\.keras: .* source archive") as caught:
        find_start(FitConfig(weights="bundled"))
    assert caught.value.exit_code == 5
    build = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    (file,) = build["targets"]["wheel"]["force-include"].values()
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_bytes(b"")
    assert bundled_model() == tmp_path / file


@pytest.mark.parametrize("weights", ["auto", "none", "imagenet", "lost.keras", "some.weights.h5"])
def test_other_weights_are_not_a_start(weights: str) -> None:
    assert find_start(replace(FitConfig(), weights=weights)) is None
