"""Bounds on the arithmetic of a model."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edgeinfer import ModelError, read_card
from edgeinfer.model.card import find_model
from edgeinfer.model.cost import MAX_OPERATIONS, find_excess, propagate
from edgeinfer.model.onnx_reader import summarize
from tools.cli import edgeinfer, error_of
from tools.tiny_model import model_bytes, node, put, tensor, write_model


def integers(name: str, *values: int) -> bytes:
    """Return a graph field with a stored int64 vector."""
    return put(5, tensor(name, (len(values),), values))


def floats(name: str, *values: float) -> bytes:
    """Return a graph field with a stored float32 vector."""
    return put(5, tensor(name, (len(values),), values))


def step(kind: str, inputs: str, output: str, **attributes: int | tuple[int, ...]) -> bytes:
    """Return a graph field with a node; `inputs` are separated by spaces."""
    fields = b"".join(
        put(5, put(1, name) + (put(3, value) if isinstance(value, int) else b"".join(put(8, n) for n in value)))
        for name, value in attributes.items()
    )
    return put(1, node(kind, tuple(inputs.split()), output, attributes=fields))


SQUARE = integers("side", 4096, 4096) + step("Expand", "mean side", "m0")
PICTURE = integers("four", 1, 1, 8, 8) + step("Reshape", "grey four", "p0")


def chain(count: int, kind: str, rest: str, prefix: str) -> bytes:
    return b"".join(step(kind, f"{prefix}{i} {rest}", f"{prefix}{i + 1}") for i in range(count))


TOO_MUCH = {
    "matrix-products": SQUARE + chain(2000, "MatMul", "m0", "m"),
    "elementwise": SQUARE + chain(300, "Pow", "m0", "m"),
    "constants": integers("side", 4096, 4096) + floats("one", 1.0) + step("Expand", "one side", "m0")
    + chain(100, "MatMul", "m0", "m"),
    "folded": integers("side", 2048, 2048) + floats("one", 1.0) + step("Expand", "one side", "m0")
    + b"".join(step("Tan", f"m{i}", f"m{i + 1}") for i in range(40)),
    "expand": integers("side", 2**14, 2**14) + step("Expand", "mean side", "m0"),
    "tile": integers("twice", 2, 2) + put(1, node("Identity", ("mean",), "t0")) + chain(28, "Tile", "twice", "t"),
    "resize": PICTURE + floats("scales", 1.0, 1.0, 64.0, 64.0) + chain(3, "Resize", "scales scales", "p"),
    "pad": PICTURE + integers("pads", 0, 0, 0, 0, 0, 0, 10**5, 10**5) + chain(1, "Pad", "pads", "p"),
    "convolution": PICTURE + put(5, tensor("w", (64, 1, 1, 1), (1.0,) * 64))
    + floats("scales", 1.0, 1.0, 300.0, 300.0) + step("Resize", "p0 scales scales", "r0")
    + b"".join(step("Conv", "r0 w", f"c{i}", kernel_shape=(1, 1)) for i in range(100)),
    "transposed": PICTURE + put(5, tensor("w", (1, 1, 8, 8), (1.0,) * 64))
    + b"".join(step("ConvTranspose", f"p{i} w", f"p{i + 1}", strides=(1000, 1000)) for i in range(3)),
    "pooling": PICTURE + floats("scales", 1.0, 1.0, 300.0, 300.0) + step("Resize", "p0 scales scales", "r0")
    + step("AveragePool", "r0", "a", kernel_shape=(1024, 1024), pads=(512, 512, 512, 512)),
    # (batch - 1) * (16 - batch) is 0 for the smallest and for the largest batch.
    "batch-size": step("Shape", "mean", "s") + integers("zero", 0) + integers("one", 1) + integers("most", 16)
    + step("Gather", "s zero", "n", axis=0) + step("Sub", "n one", "low") + step("Sub", "most n", "high")
    + step("Mul", "low high", "x0") + b"".join(step("Mul", f"x{i} x{i}", f"x{i + 1}") for i in range(3))
    + step("Concat", "x3 one", "size", axis=0) + step("Expand", "mean size", "large"),
}  # fmt: skip


@pytest.mark.parametrize("nodes", [pytest.param(nodes, id=name) for name, nodes in TOO_MUCH.items()])
def test_excessive_arithmetic_exits_with_5_immediately(tmp_path: Path, face_picture: Path, nodes: bytes) -> None:
    path = write_model(tmp_path / "bomb.onnx", between=nodes)
    started = time.perf_counter()
    error = error_of(edgeinfer("run", face_picture, "--quiet", "--model", path), 5)
    assert "multiply-adds" in error or "elements" in error
    assert time.perf_counter() - started < 10
    for options in ([], ["--verify"]):
        assert error_of(edgeinfer("models", path, *options), 5) == error


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        pytest.param(
            step("Cast", "mean", "n", to=7) + step("Reshape", "grey n", "r"), "not known from the file", id="data"
        ),
        pytest.param(step("Relu", "later", "r"), "no earlier operator computes", id="order"),
        pytest.param(step("Relu", "", "r"), "an absent input", id="absent"),
        pytest.param(step("Transpose", "mean", "r", perm=(0, 0)), "an invalid permutation", id="permutation"),
        pytest.param(step("Concat", "mean", "r", axis=9), "an axis out of range", id="axis"),
        pytest.param(step("Conv", "mean mean", "r"), "an unexpected number of dimensions", id="rank"),
        pytest.param(
            integers("cut", 0, 0, -9, 0) + step("Pad", "mean cut", "r"), "a negative output size", id="negative"
        ),
        pytest.param(step("Split", "mean", "r", axis=5), "an axis out of range", id="split"),
    ],
)
def test_unknown_shapes_are_rejected(tmp_path: Path, nodes: bytes, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read_card(write_model(tmp_path / "bad.onnx", between=nodes))


def test_shapes_computed_from_the_input_are_known() -> None:
    nodes = (
        step("Shape", "grey", "s") + integers("zero", 0) + step("Gather", "s zero", "n", axis=0)
        + integers("rest", 4, 16) + step("Concat", "n rest", "target", axis=0) + step("Reshape", "grey target", "r")
        + step("Transpose", "r", "t", perm=(0, 2, 1)) + step("Flatten", "t", "f", axis=1)
        + step("ReduceMean", "f", "m", axes=(1,)) + step("Unsqueeze", "m zero", "u")
    )  # fmt: skip
    summary = summarize(model_bytes(between=nodes))
    shapes = {operation.node.outputs[0]: values[0].shape for operation, values in propagate(summary, (3, 8, 8, 1))}
    assert {name: shapes[name] for name in ("r", "t", "f", "m", "u")} == {
        "r": (3, 4, 16), "t": (3, 16, 4), "f": (3, 64), "m": (3, 1), "u": (1, 3, 1),
    }  # fmt: skip
    assert find_excess(summary, (8, 8, 1), 16) is None


def test_bundled_model_is_far_below_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    summary = summarize(find_model(None).read_bytes())
    monkeypatch.setattr("edgeinfer.model.cost.MAX_OPERATIONS", MAX_OPERATIONS // 500)
    assert find_excess(summary, (48, 48, 1), 16) is None
    monkeypatch.setattr("edgeinfer.model.cost.MAX_OPERATIONS", MAX_OPERATIONS // 50_000)
    assert "multiply-adds" in (find_excess(summary, (48, 48, 1), 16) or "")
