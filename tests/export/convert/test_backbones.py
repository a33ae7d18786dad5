"""Every backbone at its smallest size, the whole way: convert, verdict, int8, and answers in the runtime."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

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

from ..conftest import LABELS, DataMaker, info

TRANSPOSES = {"edgenet": 0, "edgenet-sep": 0, "vgg16": 1}
"""One where three channels are made of one in the pixels' own order; none where a reshape does."""
SPREAD = {"efficientnetb0": 0.5}
"""Variance of normalization that keeps the answers of random weights from fading, or growing, with depth."""


@pytest.fixture(scope="module")
def faces(make_data: DataMaker) -> Path:
    """Few faces, some of each label."""
    return make_data(train=3, valid=5, seed=4)


def core_of(name: BackboneName) -> keras.Model:
    """An untrained network whose answers differ from face to face."""
    keras.utils.set_random_seed(1)
    core = build_core(name, len(LABELS), image_size=BACKBONES[name].min_image_size)
    for layer in core.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_variance.assign(layer.moving_variance * SPREAD.get(name, 0.1))
    return core


@pytest.mark.parametrize("name", get_args(BackboneName))
def test_the_whole_way(name: BackboneName, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The answers of an untrained network hang by a thread; looking for harmful layers would only take time.
    monkeypatch.setattr(Quantizer, "sensitive_nodes", lambda self: ())
    core, out = core_of(name), tmp_path / "model.onnx"
    save_model(core, info(name), tmp_path / "model.keras")
    options = ExportOptions(quantize="int8", calibration_faces=16)
    report = export_model(tmp_path / "model.keras", out, data=faces, options=options)

    assert report.verdict.max_relative_difference <= report.verdict.tolerance
    assert report.verdict.batch_difference <= report.verdict.tolerance
    assert report.converter == "tf2onnx from the layers"
    graph = onnx.load(out).graph
    assert ([v.name for v in graph.input], [v.name for v in graph.output]) == (["image"], ["logits"])
    assert not {"BatchNormalization", "Div"} & set(report.operators), "scaling and normalization are folded"
    light = 1 if name in get_args(EdgeName) else 0  # the mean of each face is taken off
    assert report.operators.get("Sub", 0) == light, "scaling and normalization are folded"
    assert report.operators.get("Transpose", 0) == TRANSPOSES.get(name, 1)
    assert report.operators["QuantizeLinear"] > 0

    side = BACKBONES[name].min_image_size
    images = load_split(faces, "valid", size_hw=(side, side)).images
    expected = np.asarray(core.predict_on_batch(images))
    assert np.ptp(expected, axis=0).max() > 0.01, "a network that always says the same would prove nothing"
    found = load_session(out)[0].run(None, {"image": images})[0]
    answers = EmotionClassifier.load(out).classify(list(images[..., 0]))
    # The error is measured on every other face; the rest must keep their labels wherever the margin exceeds it.
    error, others = np.abs(found - expected)[::2].max(), slice(1, None, 2)
    ranked = np.sort(expected[others], axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > 2 * error
    kept = np.array([LABELS.index(answer.label) for answer in answers]) == expected.argmax(1)
    assert kept[others][clear].all()
    assert error < 0.5 * np.ptp(expected), "eight bits follow float32"
