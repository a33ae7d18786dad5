from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer_train.backbones import BACKBONES
from edgeinfer_train.config import BackboneName
from edgeinfer_train.model import build_core

each_backbone = pytest.mark.parametrize("name", get_args(BackboneName))


@each_backbone
def test_it_is_small(name: BackboneName) -> None:
    assert 10_000 < build_core(name, 7, width=1.0).count_params() < 1_500_000


@each_backbone
def test_raw_faces_in_and_float_logits_out(name: BackboneName, grey_faces: NDArray[np.uint8]) -> None:
    core = build_core(name, 7, width=0.25, dropout=0.3, precision="mixed_bfloat16")
    assert core.input.dtype == "uint8"
    assert core.input_shape[1:] == (*BACKBONES[name].size_hw, 1)
    logits = np.asarray(core(grey_faces))
    assert logits.shape == (6, 7)
    assert logits.dtype == np.float32
    assert {w.dtype for w in core.weights} == {"float32"}
    np.testing.assert_array_equal(logits, np.asarray(core(grey_faces)), "dropout is at work outside training")


@each_backbone
def test_a_batch_gives_what_its_faces_give_alone(name: BackboneName, grey_faces: NDArray[np.uint8]) -> None:
    core = build_core(name, 7, width=0.25)
    singles = np.concatenate([np.asarray(core(face[None])) for face in grey_faces])
    np.testing.assert_allclose(np.asarray(core(grey_faces)), singles, rtol=1e-4, atol=1e-5)


@each_backbone
def test_width_scales_the_network(name: BackboneName) -> None:
    assert build_core(name, 7, width=0.5).count_params() < build_core(name, 7, width=1.0).count_params() / 2


@each_backbone
def test_faces_make_a_difference(name: BackboneName, grey_faces: NDArray[np.uint8]) -> None:
    logits = np.asarray(build_core(name, 7, width=0.25)(grey_faces))
    assert np.ptp(logits, axis=0).max() > 1e-3
