"""Export of every backbone at its smallest image size: conversion, verdict, int8, and outputs in the runtime."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import onnx
import pytest

from edgeinfer.expression.classifier import EmotionClassifier
from edgeinfer.model.session import load_session
from edgeinfer_export.options import ExportOptions
from edgeinfer_export.publish.export import export_model
from edgeinfer_export.quantize.quantizer import Quantizer
from edgeinfer_train.config import BackboneName, EdgeName
from edgeinfer_train.datasets.load import load_split
from edgeinfer_train.networks.backbones import BACKBONES
from edgeinfer_train.networks.model import build_core, save_model

from ..conftest import LABELS, DataMaker, make_info

TRANSPOSES = {"edgenet": 0, "edgenet-sep": 0, "faceresnet": 0, "vgg16": 1}
"""Transpose nodes by backbone; 1 for the others, where the grey channel is repeated in channels-last order."""
MANY_WEIGHTS = ("vgg16", "resnet50", "xception", "inceptionv3")
"""Backbones that are built with fewer channels."""
VARIANCE_SCALE = {"efficientnetb0": 0.5}
"""Multiplier of the batch normalization variances that keeps the outputs of random weights from vanishing or
exploding with depth; 0.1 for the others."""


@pytest.fixture(scope="module")
def faces(make_data: DataMaker) -> Path:
    """Prepared folder with a few faces of each label."""
    return make_data(train=3, valid=5, seed=4)


@contextmanager
def narrow_convolutions() -> Iterator[None]:
    """Divide the channels of new convolutions by 4: the time of an export grows with the number of weights."""
    with pytest.MonkeyPatch.context() as patch:
        for layer in (keras.layers.Conv2D, keras.layers.SeparableConv2D):

            def create(self: Any, filters: int, *args: Any, init: Any = layer.__init__, **options: Any) -> None:
                init(self, filters // 4, *args, **options)

            patch.setattr(layer, "__init__", create)
        yield


def build_backbone(name: BackboneName) -> keras.Model:
    """Build an untrained network whose outputs differ between faces."""
    keras.utils.set_random_seed(1)
    with narrow_convolutions() if name in MANY_WEIGHTS else nullcontext():
        core = build_core(name, len(LABELS), image_size=BACKBONES[name].min_image_size)
    for layer in core.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_variance.assign(layer.moving_variance * VARIANCE_SCALE.get(name, 0.1))
    return core


@pytest.mark.parametrize("name", get_args(BackboneName))
def test_int8_export_agrees_with_keras(
    name: BackboneName, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The top labels of an untrained network have small margins, so int8 may lose accuracy. The search for sensitive
    # layers, which would follow, is slow and tested elsewhere.
    monkeypatch.setattr(Quantizer, "rank_sensitive_nodes", lambda self: ())
    core, out = build_backbone(name), tmp_path / "model.onnx"
    save_model(core, make_info(name), tmp_path / "model.keras")
    options = ExportOptions(quantize="int8", calibration_faces=16)
    report = export_model(tmp_path / "model.keras", out, data=faces, options=options)

    assert report.verdict.max_relative_difference <= report.verdict.tolerance
    assert report.verdict.batch_difference <= report.verdict.tolerance
    assert report.converter == "tf2onnx from the layers"
    graph = onnx.load(out).graph
    assert ([v.name for v in graph.input], [v.name for v in graph.output]) == (["image"], ["logits"])
    assert not {"BatchNormalization", "Div"} & set(report.operators), "scaling and normalization are folded"
    mean_subtractions = 1 if name in (*get_args(EdgeName), "faceresnet") else 0  # each face is normalized
    assert report.operators.get("Sub", 0) == mean_subtractions, "scaling and normalization are folded"
    assert report.operators.get("Transpose", 0) == TRANSPOSES.get(name, 1)
    assert report.operators["QuantizeLinear"] > 0

    side = BACKBONES[name].min_image_size
    images = load_split(faces, "valid", size_hw=(side, side)).images
    expected = np.asarray(core(images, training=False))  # eager, because tracing a large network takes seconds
    assert np.ptp(expected, axis=0).max() > 0.01, "constant outputs would prove nothing"
    logits = load_session(out)[0].run(None, {"image": images})[0]
    emotions = EmotionClassifier.load(out).classify(list(images[..., 0]))
    # The error is measured on every other face. The remaining faces must keep their label if its margin is larger.
    error, others = np.abs(logits - expected)[::2].max(), slice(1, None, 2)
    ranked = np.sort(expected[others], axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > 2 * error
    kept = np.array([LABELS.index(emotion.label) for emotion in emotions]) == expected.argmax(1)
    assert kept[others][clear].all()
    assert error < 0.5 * np.ptp(expected), "int8 stays close to float32"
