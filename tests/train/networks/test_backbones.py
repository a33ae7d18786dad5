from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer_train.augmentation import AugmentConfig
from edgeinfer_train.config import BackboneName, EdgeName, FitConfig
from edgeinfer_train.config_file import load_config
from edgeinfer_train.errors import ConfigError
from edgeinfer_train.evaluation import evaluate as evaluation
from edgeinfer_train.evaluation.evaluate import evaluate, network_from_keras
from edgeinfer_train.networks.backbones import BACKBONES, resolve
from edgeinfer_train.networks.efficientnet_lite import efficientnet_lite0
from edgeinfer_train.networks.model import MODEL_FILE, build_core, load_model
from edgeinfer_train.training import fit as training
from edgeinfer_train.training.report import multiply_adds
from edgeinfer_train.training.state import TrainingState

each_backbone = pytest.mark.parametrize("name", get_args(BackboneName))
each_edge_network = pytest.mark.parametrize("name", get_args(EdgeName))


@pytest.fixture(autouse=True, scope="module")
def _shallow_networks() -> None:
    """Replace the fixture of the same name: the tests of this module need all blocks."""


@each_edge_network
def test_edge_networks_are_small(name: BackboneName) -> None:
    assert 10_000 < build_core(name, 7, width=1.0).count_params() < 1_500_000


@each_edge_network
def test_edge_networks_map_uint8_faces_to_float_logits(name: BackboneName, grey_faces: NDArray[np.uint8]) -> None:
    core = build_core(name, 7, width=0.25, dropout=0.3, precision="mixed_bfloat16")
    assert core.input.dtype == "uint8"
    assert core.input_shape[1:] == (48, 48, 1)
    logits = np.asarray(core(grey_faces))
    assert logits.shape == (6, 7)
    assert logits.dtype == np.float32
    assert {w.dtype for w in core.weights} == {"float32"}
    np.testing.assert_array_equal(logits, np.asarray(core(grey_faces)), "dropout is active outside training")


@each_edge_network
def test_logits_do_not_depend_on_the_batch(name: BackboneName, grey_faces: NDArray[np.uint8]) -> None:
    core = build_core(name, 7, width=0.25)
    singles = np.concatenate([np.asarray(core(face[None])) for face in grey_faces])
    np.testing.assert_allclose(np.asarray(core(grey_faces)), singles, rtol=1e-4, atol=1e-5)


@each_edge_network
def test_width_scales_the_parameters(name: BackboneName) -> None:
    assert build_core(name, 7, width=0.5).count_params() < build_core(name, 7, width=1.0).count_params() / 2


@each_edge_network
def test_logits_do_not_depend_on_brightness(name: BackboneName, grey_faces: NDArray[np.uint8]) -> None:
    core = build_core(name, 7, width=0.25)
    even = grey_faces // 2 * 2
    bright, dark = np.asarray(core(even // 2 + 100)), np.asarray(core(even // 2))
    np.testing.assert_allclose(bright, dark, rtol=1e-3, atol=1e-4)
    flat = np.asarray(core(np.full((1, 48, 48, 1), 90, np.uint8)))
    assert np.isfinite(flat).all()


@each_edge_network
def test_logits_depend_on_the_face(name: BackboneName, grey_faces: NDArray[np.uint8]) -> None:
    logits = np.asarray(build_core(name, 7, width=0.25)(grey_faces))
    assert np.ptp(logits, axis=0).max() > 1e-3


@each_edge_network
def test_weights_fit_both_image_sizes(name: BackboneName) -> None:
    small, wide = build_core(name, 7, width=0.25), build_core(name, 7, width=0.25, image_size=64)
    assert wide.input_shape == (None, 64, 64, 1)
    assert [w.shape for w in small.weights] == [w.shape for w in wide.weights]


def first_convolution_input(core: keras.Model) -> NDArray[np.float32]:
    """Return the values of the pixels 0, 127 and 255 at the first convolution, (3, 3) by pixel and channel."""
    side = core.input_shape[1]
    faces = np.stack([np.full((side, side, 1), value, np.uint8) for value in (0, 127, 255)])
    first = next(layer for layer in core.layers if isinstance(layer, keras.layers.Conv2D))
    tensor = first.input
    if isinstance(tensor._keras_history.operation, keras.layers.ZeroPadding2D):
        tensor = tensor._keras_history.operation.input
    return np.asarray(keras.Model(core.input, tensor)(faces))[:, side // 2, side // 2]


CAFFE = np.array([103.939, 116.779, 123.68])
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
SCALING: dict[str, Callable[[float], NDArray[np.float64]]] = {
    "vgg16": lambda x: x - CAFFE,
    "resnet50": lambda x: x - CAFFE,
    "xception": lambda x: np.full(3, x / 127.5 - 1),
    "inceptionv3": lambda x: np.full(3, x / 127.5 - 1),
    "mobilenetv2": lambda x: np.full(3, x / 127.5 - 1),
    "efficientnetb0": lambda x: (x / 255 - MEAN) / DEVIATION,
    "efficientnetlite0": lambda x: np.full(3, (x - 127) / 128),
    "faceresnet": lambda _x: np.zeros(1),  # normalized by face
}
"""Function from a pixel to the first convolution's input, for each network with published weights."""


def test_efficientnet_lite0_matches_the_published_network() -> None:
    """Compare parameter counts without the statistics of batch normalization."""
    image = keras.Input((224, 224, 3))
    model = keras.Model(image, efficientnet_lite0(image))
    trained = sum(w.value.shape.num_elements() for w in model.trainable_weights)
    assert trained == 3_371_008
    assert trained + 1280 * 1000 + 1000 == 4_652_008
    shapes = {
        name: model.get_layer(name).output.shape[1:] for name in ("stem_conv", "block3_project_conv", "head_conv")
    }
    assert shapes == {"stem_conv": (112, 112, 32), "block3_project_conv": (28, 28, 40), "head_conv": (7, 7, 1280)}
    assert sum(isinstance(layer, keras.layers.DepthwiseConv2D) for layer in model.layers) == 16
    assert sum(isinstance(layer, keras.layers.Add) for layer in model.layers) == 9


@each_backbone
def test_image_size_below_the_minimum_is_rejected(name: BackboneName) -> None:
    minimum = BACKBONES[name].min_image_size
    config = FitConfig.for_backbone(name)
    assert resolve(replace(config, image_size=minimum)).image_size == minimum
    with pytest.raises(ConfigError, match=f"`image_size` is {minimum - 1}: {name} needs at least {minimum}"):
        resolve(replace(config, image_size=minimum - 1))


@each_backbone
def test_resolve_uses_the_backbone_defaults(name: BackboneName) -> None:
    found = resolve(FitConfig.for_backbone(name))
    published = name in ("vgg16", "resnet50", "xception", "inceptionv3", "mobilenetv2", "efficientnetb0")
    assert found.image_size == BACKBONES[name].image_size
    assert found.weights == ("imagenet" if published else "none")


@each_backbone
def test_config_file_contains_the_defaults(name: BackboneName) -> None:
    import tomllib

    path = Path(__file__).parents[3] / "train" / "configs" / f"{name}.toml"
    assert load_config(path) == FitConfig.for_backbone(name)
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    complete = FitConfig().to_mapping()
    assert values.keys() == complete.keys()
    assert values["augment"].keys() == complete["augment"].keys()


@each_backbone
@pytest.mark.usefixtures("eager")
@pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")
def test_backbone_is_trained_and_evaluated(
    tmp_path: Path, make_toy_data: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, name: BackboneName
) -> None:
    faces, side = make_toy_data(tmp_path / "data", train=8, valid=8), BACKBONES[name].min_image_size
    config = replace(
        FitConfig.for_backbone(name), weights="none", image_size=side, epochs=1, batch_size=8, warmup_epochs=0.0,
        learning_rate=1e-3, ema_momentum=0.0, precision="float32", augment=AugmentConfig(mixup=0.0),
    )  # fmt: skip
    # The training state and the result files take longer than the training, and do not depend on the backbone.
    monkeypatch.setattr(training, "save_weights", lambda *_: None)
    monkeypatch.setattr(training, "finish_run", lambda *_, **__: None)
    monkeypatch.setattr(TrainingState, "save", lambda *_: None)
    rows = training.fit(faces, tmp_path / "run", config)
    path = tmp_path / "run" / MODEL_FILE
    core, info = load_model(path)
    assert multiply_adds(core) > 1_000_000
    if name not in get_args(EdgeName):
        expected = np.stack([SCALING[name](value) for value in (0, 127, 255)])
        np.testing.assert_allclose(first_convolution_input(core), expected, rtol=1e-5, atol=1e-4)
    network = network_from_keras(path, core, info)
    assert network.size_hw == (side, side)
    monkeypatch.setattr(evaluation, "load_network", lambda _path: network)  # loading a large network is slow
    metrics = evaluate(tmp_path / "run", faces, split="valid").metrics
    assert metrics.count == 8
    assert metrics.accuracy == pytest.approx(rows[0]["val_accuracy"], abs=1e-5)
    assert metrics.loss == pytest.approx(rows[0]["val_loss"], rel=1e-3)
