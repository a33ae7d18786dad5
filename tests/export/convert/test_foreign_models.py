"""Models that `edgeinfer-train fit` did not write: those that are exported, and those that are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from edgeinfer.errors import EdgeInferError, UsageError
from edgeinfer.expression.probabilities import softmax
from edgeinfer_export.convert.graph import to_onnx
from edgeinfer_export.convert.source import read_source
from edgeinfer_export.errors import ExportError
from edgeinfer_export.options import InputRange

from ..conftest import LABELS, DataMaker
from .test_convert import run_graph

Build = Callable[[], keras.Model]


@pytest.fixture(scope="module")
def faces(make_data: DataMaker) -> Path:
    return make_data(train=1)


def image(channels: int = 1, dtype: str = "uint8", **options: Any) -> Any:
    return keras.Input((12, 12, channels), dtype=dtype, **options)


def body(tensor: Any, *, scaled: bool = True) -> Any:
    tensor = layers.Rescaling(1 / 255)(tensor) if scaled else tensor
    return layers.Conv2D(4, 3, activation="relu")(tensor)


def sequential(*last: Any, channels: int = 1, dtype: str = "uint8", first: tuple[Any, ...] = ()) -> keras.Model:
    scaling = first or (layers.Rescaling(1 / 255),)
    return keras.Sequential([image(channels, dtype), *scaling, layers.Conv2D(4, 3, activation="relu"), *last])


def pooled(head: Any) -> tuple[Any, ...]:
    return (layers.GlobalAveragePooling2D(), *head)


def nested(*, softmax_inside: bool) -> keras.Model:
    inner = keras.Sequential(
        [keras.Input((12, 12, 1)), layers.Rescaling(1 / 255), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()]
    )
    if softmax_inside:
        inner.add(layers.Dense(7, activation="softmax"))
        return keras.Sequential([image(), inner])
    picture = image()
    return keras.Model(picture, layers.Dense(7, activation="softmax")(inner(picture)))


def mixed(policy: str) -> keras.Model:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return sequential(*pooled([layers.Dense(7), layers.Activation("softmax", dtype="float32")]))
    finally:
        keras.config.set_dtype_policy(before)


def normalized_after_head() -> keras.Model:
    model = sequential(*pooled([layers.Dense(7), layers.BatchNormalization(), layers.Softmax()]))
    gamma = np.linspace(0.5, 1.5, 7)
    model.layers[-2].set_weights([gamma, gamma, -gamma, gamma])
    return model


def convolutional() -> keras.Model:
    """Build a network in the form of MobileNet: 1x1 convolution, reshape and softmax."""
    return sequential(
        layers.GlobalAveragePooling2D(keepdims=True), layers.Conv2D(7, 1), layers.Reshape((7,)), layers.Softmax()
    )


def divided_by_operator() -> keras.Model:
    picture = image(dtype="float32")
    features = layers.GlobalAveragePooling2D()(body(picture / 255.0, scaled=False))
    return keras.Model(picture, keras.ops.softmax(layers.Dense(7)(features)))


def named_input() -> keras.Model:
    picture = image(name="picture")
    return keras.Model({"picture": picture}, layers.Dense(7, name="answer")(layers.Flatten()(body(picture))))


def dense_normalization() -> keras.Model:
    normalization = layers.Normalization(mean=120.0, variance=3000.0)
    return sequential(*pooled([layers.Dense(7)]), dtype="float32", first=(normalization,))


EXPORTED: dict[str, Build] = {
    "sequential with a dense softmax": lambda: sequential(*pooled([layers.Dense(7, activation="softmax")])),
    "sequential without softmax": lambda: sequential(*pooled([layers.Dense(7)])),
    "softmax layer": lambda: sequential(*pooled([layers.Dense(7), layers.Softmax()])),
    "softmax activation layer": lambda: sequential(*pooled([layers.Dense(7), layers.Activation("softmax")])),
    "log softmax": lambda: sequential(*pooled([layers.Dense(7, activation="log_softmax")])),
    "flatten": lambda: sequential(layers.Flatten(), layers.Dense(7, activation="softmax")),
    "softmax before flatten": lambda: sequential(
        layers.GlobalAveragePooling2D(keepdims=True), layers.Conv2D(7, 1, activation="softmax"), layers.Flatten()
    ),
    "convolutional head": convolutional,
    "nested softmax": lambda: nested(softmax_inside=True),
    "nested backbone": lambda: nested(softmax_inside=False),
    "normalization after the head": normalized_after_head,
    "mixed_bfloat16": lambda: mixed("mixed_bfloat16"),
    "mixed_float16": lambda: mixed("mixed_float16"),
    "float32 input with rescaling": lambda: sequential(*pooled([layers.Dense(7)]), dtype="float32"),
    "float32 input with normalization": dense_normalization,
    "float32 input divided by an operator": divided_by_operator,
    "three channels": lambda: sequential(*pooled([layers.Dense(7)]), channels=3, dtype="float32"),
    "named input and dictionary": named_input,
    "augmentation and dropout": lambda: sequential(
        *pooled([layers.Dropout(0.5), layers.Dense(7)]),
        first=(layers.RandomFlip(), layers.RandomRotation(0.1), layers.Rescaling(1 / 255)),
    ),
    "fixed batch size": lambda: keras.Sequential(
        [keras.Input(batch_shape=(3, 12, 12, 1)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(7)]
    ),
}


def probabilities(model: keras.Model, images: np.ndarray) -> np.ndarray:
    values = model.predict_on_batch({"picture": images} if model.inputs[0].name == "picture" else images)
    values = np.asarray(values, dtype=np.float32)
    summed = (values >= 0).all() and np.allclose(values.sum(axis=1), 1, atol=1e-2)
    return values if summed else softmax(values)


@pytest.mark.parametrize("build", EXPORTED.values(), ids=EXPORTED)
def test_foreign_model_becomes_logits_from_raw_pixels(tmp_path: Path, faces: Path, build: Build) -> None:
    keras.utils.set_random_seed(5)
    model = build()
    path = tmp_path / "model.keras"
    model.save(path)
    shape = model.inputs[0].shape[1:]
    images = np.random.default_rng(3).integers(0, 256, (3, *shape), dtype=np.uint8)
    network: Any = read_source(path, labels=LABELS, data=faces).model
    assert (network.inputs[0].dtype, network.outputs[0].shape) == ("uint8", (None, 7))
    graph = to_onnx(network).graph
    assert not {"Slice", "Shape"} & {node.op_type for node in graph.graph.node}
    tolerance = 0.02 if "mixed" in str(model.dtype_policy.name) else 1e-4
    np.testing.assert_allclose(softmax(run_graph(graph, images)), probabilities(model, images), atol=tolerance)


@pytest.mark.parametrize("scale", [(1 / 255, 0.0, "0..1"), (1 / 127.5, -1.0, "-1..1"), (1.0, 0.0, "0..255")])
def test_input_range_puts_the_scaling_into_the_graph(faces: Path, scale: tuple[float, float, InputRange]) -> None:
    factor, offset, name = scale
    picture = image(dtype="float32")
    features = layers.GlobalAveragePooling2D()(body(picture, scaled=False))
    model = keras.Model(picture, layers.Dense(7, activation="softmax")(features))
    with pytest.raises(UsageError, match="`input_range`"):
        read_source(model, labels=LABELS, data=faces)
    images = np.random.default_rng(3).integers(0, 256, (3, 12, 12, 1), dtype=np.uint8)
    logits = read_source(model, labels=LABELS, data=faces, input_range=name).model.predict_on_batch(images)
    expected = model.predict_on_batch(images.astype(np.float32) * factor + offset)
    np.testing.assert_allclose(softmax(np.asarray(logits)), expected, atol=1e-4)


def test_rescaling_of_unit_range_inputs_does_not_count_as_scaling(faces: Path) -> None:
    model = sequential(*pooled([layers.Dense(7)]), dtype="float32", first=(layers.Rescaling(2.0, -1.0),))
    with pytest.raises(UsageError, match="`input_range`"):
        read_source(model, labels=LABELS, data=faces)


def test_labels_are_selected_after_a_head_that_is_not_dense(faces: Path) -> None:
    model = normalized_after_head()
    whole, part = (read_source(model, labels=names, data=faces) for names in (LABELS, LABELS))
    assert whole.info == part.info
    images = np.random.default_rng(3).integers(0, 256, (3, 12, 12, 1), dtype=np.uint8)
    from edgeinfer_export.convert.rewrite import to_logits_model

    chosen = to_logits_model("model", model, LABELS, ("fear", "happy"))
    expected = np.asarray(whole.model.predict_on_batch(images))[:, [6, 1]]
    np.testing.assert_allclose(run_graph(to_onnx(chosen).graph, images), expected, atol=1e-5)


def two_inputs() -> keras.Model:
    pictures = [image(), image()]
    joined = layers.Concatenate()([layers.Flatten()(body(picture)) for picture in pictures])
    return keras.Model(pictures, layers.Dense(7)(joined))


def two_outputs() -> keras.Model:
    picture = image()
    features = layers.Flatten()(body(picture))
    return keras.Model(picture, [layers.Dense(7)(features), layers.Dense(1)(features)])


class Subclassed(keras.Model):  # type: ignore[misc]
    """Network whose layers are connected by its own code."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(7)

    def call(self, inputs: Any) -> Any:
        return self.dense(layers.Flatten()(inputs))


def subclassed() -> keras.Model:
    model = Subclassed()
    model(np.zeros((1, 12, 12, 1), np.float32))
    return model


def averaged() -> keras.Model:
    picture = image()
    features = layers.Flatten()(body(picture))
    shares = [layers.Dense(7, activation="softmax")(features) for _ in range(2)]
    return keras.Model(picture, layers.Average(name="mean")(shares))


REFUSED: dict[str, tuple[Build, str]] = {
    "sigmoid": (lambda: sequential(*pooled([layers.Dense(7, activation="sigmoid", name="top")])), r"top \(sigmoid\)"),
    "activation layer": (lambda: sequential(*pooled([layers.Dense(7), layers.ReLU(name="top")])), r"top \(ReLU\)"),
    "two inputs": (two_inputs, "has 2 inputs"),
    "two outputs": (two_outputs, "has 2 outputs"),
    "subclassed": (subclassed, "subclassed model of the class Subclassed"),
    "no input size": (lambda: keras.Sequential([layers.Flatten(), layers.Dense(7)]), "no fixed input size"),
    "variable size": (
        lambda: keras.Sequential(
            [keras.Input((None, None, 1)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(7)]
        ),
        "fixed height and width",
    ),
    "four channels": (lambda: sequential(*pooled([layers.Dense(7)]), channels=4), "1 or 3 channels"),
    "mean of probabilities": (averaged, "layer mean, whose values are probabilities"),
    "eight logits": (lambda: sequential(*pooled([layers.Dense(8)])), "one logit for each of 7 labels"),
}


@pytest.mark.parametrize(("build", "message"), REFUSED.values(), ids=REFUSED)
def test_unsupported_model_is_refused_with_its_reason(faces: Path, build: Build, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        read_source(build(), labels=LABELS, data=faces)


def test_input_range_is_refused_for_integer_inputs(faces: Path) -> None:
    model = sequential(*pooled([layers.Dense(7)]))
    with pytest.raises(EdgeInferError, match="`input_range` has no effect"):
        read_source(model, labels=LABELS, data=faces, input_range="0..1")
