"""Backbones of keras.applications and EfficientNet-Lite0: one for each way of scaling, at its smallest size."""

from __future__ import annotations

import keras
import numpy as np
import onnxruntime as ort
import pytest

from edgeinfer_export.convert import to_onnx
from edgeinfer_train.backbones import BACKBONES
from edgeinfer_train.config import BackboneName
from edgeinfer_train.model import build_core


@pytest.mark.parametrize("name", ["vgg16", "mobilenetv2", "efficientnetb0", "efficientnetlite0"])
def test_raw_grey_faces_give_what_keras_gives(name: BackboneName) -> None:
    keras.utils.set_random_seed(1)
    side = BACKBONES[name].minimum
    core = build_core(name, 7, image_size=side)
    for layer in core.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_variance.assign(layer.moving_variance * 0.1)  # random weights alone fade with depth
    graph = to_onnx(core)
    kinds = {node.op_type for node in graph.graph.node}
    assert not kinds & {"BatchNormalization", "Sub", "Div"}, "scaling and normalization are folded"
    faces = np.random.default_rng(2).integers(0, 256, (3, side, side, 1), dtype=np.uint8)
    expected = np.asarray(core.predict_on_batch(faces))
    found = ort.InferenceSession(graph.SerializeToString()).run(["logits"], {"image": faces})[0]
    spread = np.ptp(expected)
    assert spread > 0.01
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * spread)
