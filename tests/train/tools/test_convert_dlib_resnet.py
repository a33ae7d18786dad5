from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer.errors import ModelError
from edgeinfer_train.networks.model import backbone_of, build_core
from edgeinfer_train.networks.weights import initialize


def integer(value: int) -> bytes:
    """Return dlib's form of an integer that is not negative."""
    size = (value.bit_length() + 7) // 8 or 1
    return bytes([size]) + value.to_bytes(size, "little")


def tensor(values: NDArray[np.float32]) -> bytes:
    """Return dlib's form of a tensor of one dimension."""
    header = b"".join(integer(number) for number in (2, len(values), 1, 1, 1))
    return header + values.astype("<f4").tobytes()


@pytest.fixture(scope="module")
def features() -> keras.Model:
    return backbone_of(build_core("faceresnet", 2, image_size=112))


@pytest.fixture(scope="module")
def dat(features: keras.Model) -> bytes:
    """Return a file in dlib's format with random weights for all layers."""
    random, content = np.random.default_rng(0), b"\x01\x01\x01\rloss_metric_2"
    convolutions = [layer for layer in features.layers if isinstance(layer, keras.layers.Conv2D)]
    for number, convolution in enumerate(convolutions):
        height, width, channels, outputs = convolution.kernel.shape
        inputs = height * width * channels * (1 if number else 3)
        filters = random.normal(0, inputs**-0.5, inputs * outputs)
        content += b"\x01\x05con_4" + tensor(np.append(filters, random.normal(0, 0.1, outputs)).astype(np.float32))
        affine = np.append(random.uniform(0.5, 1, outputs), random.normal(0, 0.1, outputs))
        content += b"\x01\x07affine_" + tensor(affine.astype(np.float32)) + b"\x01\x02relu_1"
    return content


def test_first_convolution_adds_up_the_colours(dlib_tool: ModuleType, features: keras.Model, dat: bytes) -> None:
    dlib_tool.copy_weights(dat, features)
    first = next(layer for layer in features.layers if isinstance(layer, keras.layers.Conv2D))
    filters = dlib_tool.read_tensors(dat, b"con_4")[0][:-32].reshape(32, 3, 7, 7)
    expected = filters[5, :, 2, 6].sum() * dlib_tool.PIXEL_DEVIATION
    assert np.asarray(first.kernel)[2, 6, 0, 5] == pytest.approx(expected, rel=1e-5)


def test_normalization_is_separated_without_changing_the_features(
    dlib_tool: ModuleType, features: keras.Model, dat: bytes
) -> None:
    faces = np.random.default_rng(1).integers(0, 256, (12, 112, 112, 1), np.uint8)
    dlib_tool.copy_weights(dat, features)
    before = features.predict_on_batch(faces)
    dlib_tool.separate_normalization(features, faces)
    np.testing.assert_allclose(features.predict_on_batch(faces), before, atol=1e-4 * np.abs(before).max())
    norms = [layer for layer in features.layers if isinstance(layer, keras.layers.BatchNormalization)]
    output = keras.Model(features.input, norms[-1].input).predict_on_batch(faces)
    np.testing.assert_allclose(norms[-1].moving_mean, output.mean((0, 1, 2)), rtol=1e-3, atol=1e-4)
    assert all((np.asarray(norm.moving_variance) > 0).all() for norm in norms)


@pytest.mark.slow
def test_converted_file_initializes_a_network(
    dlib_tool: ModuleType,
    run_tool: Callable[..., int],
    dat: bytes,
    make_toy_data: Callable[..., Path],
    tmp_path: Path,
) -> None:
    data = make_toy_data(tmp_path / "data", train=8, valid=2)
    (tmp_path / "face.dat").write_bytes(dat)
    out = tmp_path / "face.weights.h5"
    assert run_tool(dlib_tool, tmp_path / "face.dat", data, out) == 0
    core = build_core("faceresnet", 3)
    initialize(core, "faceresnet", str(out))
    first = next(layer for layer in core.layers if isinstance(layer, keras.layers.Conv2D))
    expected = dlib_tool.read_tensors(dat, b"con_4")[0][:-32].reshape(32, 3, 7, 7).sum(axis=1)
    np.testing.assert_allclose(
        np.asarray(first.kernel)[:, :, 0].transpose(2, 0, 1), expected * dlib_tool.PIXEL_DEVIATION, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("damage", [lambda dat: b"", lambda dat: dat[: len(dat) // 2]], ids=["empty", "truncated"])
def test_other_files_are_rejected(
    dlib_tool: ModuleType, features: keras.Model, dat: bytes, damage: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(ModelError, match="not dlib's face recognition network"):
        dlib_tool.copy_weights(damage(dat), features)
