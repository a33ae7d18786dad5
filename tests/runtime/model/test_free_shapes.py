from __future__ import annotations

from pathlib import Path

import pytest

from edgeinfer import ModelError
from edgeinfer.detection.yunet_file import find_yunet
from edgeinfer.errors import CapabilityError
from edgeinfer.model.free_shapes import with_free_size
from edgeinfer.model.onnx_reader import summarize
from edgeinfer.model.session import create_session


@pytest.fixture(scope="module")
def fixed() -> bytes:
    """Network with an input of 640x640 pixels."""
    try:
        return find_yunet().read_bytes()
    except CapabilityError as error:
        pytest.skip(str(error))


def test_input_accepts_any_size_and_the_rest_is_unchanged(fixed: bytes) -> None:
    free = with_free_size(fixed, "input", 3)
    session = create_session(free, Path("free.onnx"))
    assert [(i.name, i.type, list(i.shape)) for i in session.get_inputs()] == [
        ("input", "tensor(float)", [1, 3, "height", "width"])
    ]
    before, after = summarize(fixed), summarize(free)
    assert (after.inputs, after.outputs, after.nodes, after.tensors) == (
        (before.inputs, before.outputs, before.nodes, before.tensors)
    )
    assert (set(before.dims) >= {640, 6400}, after.dims) == (True, (1, 3))


def test_result_is_stable(fixed: bytes) -> None:
    free = with_free_size(fixed, "input", 3)
    assert with_free_size(free, "input", 3) == free


@pytest.mark.parametrize("length", [100, 5000])
def test_truncated_model_is_rejected(fixed: bytes, length: int) -> None:
    with pytest.raises(ModelError, match="not an ONNX model"):
        with_free_size(fixed[:length], "input", 3)
