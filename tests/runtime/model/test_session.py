"""Model cards, admission rules and sessions."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer import CapabilityError, EmotionClassifier, ModelError, ModelNotFoundError, bundled_models, read_card
from edgeinfer.model.card import ACCURATE_PACKAGE, DEFAULT_MODEL, find_model
from edgeinfer.model.onnx_reader import summarize
from edgeinfer.model.session import load_session
from tools.tiny_model import metadata, model_bytes, node, put, tensor, value_info, write_model


def _input(**changes: Any) -> str:
    return json.dumps(
        {
            "height": 8,
            "width": 8,
            "channels": 1,
            "layout": "NHWC",
            "dtype": "uint8",
            "colour": "grey",
            **changes,
        }
    )


def test_card_matches_the_metadata(tiny_model: Path) -> None:
    card = read_card(tiny_model)
    assert card.name == "tiny"
    assert (card.size_hw, card.channels, card.colour, card.margin, card.temperature) == (
        (8, 8),
        1,
        "grey",
        0.0,
        1.0,
    )
    assert card.labels[1] == "happy"
    assert card.size_bytes == tiny_model.stat().st_size
    assert len(card.sha256) == 64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"keys": {}}, "lacks the metadata key edgeinfer.schema", id="no-metadata"),
        pytest.param({"keys": metadata(crop=None)}, "lacks the metadata key edgeinfer.crop", id="one-key-missing"),
        pytest.param({"keys": metadata(schema="2")}, "uses schema 2", id="newer-schema"),
        pytest.param({"keys": metadata(labels="[")}, "damaged metadata", id="labels-no-json"),
        pytest.param({"keys": metadata(labels='["a","a"]')}, "different printable names", id="same-labels"),
        pytest.param({"keys": metadata(labels='["a","b"]')}, "expected 2 logits", id="other-number-of-labels"),
        pytest.param({"keys": metadata(input=_input(layout="NCHW"))}, "expected NHWC uint8", id="layout"),
        pytest.param({"keys": metadata(input=_input(height=9))}, "according to its metadata", id="other-size"),
        pytest.param({"keys": metadata(input=_input(height=1e9))}, "expected a height and width", id="absurd-size"),
        pytest.param({"keys": metadata(input=_input(colour="rgb"))}, "1 rgb channels", id="colour"),
        pytest.param({"keys": metadata(temperature="0")}, "temperature of 0 ", id="temperature-zero"),
        pytest.param({"keys": metadata(temperature="nan")}, "temperature of nan ", id="temperature-nan"),
        pytest.param({"keys": metadata(crop='{"margin": 9}')}, "crop margin of 9;", id="margin"),
        pytest.param({"external": True}, "another file", id="external-data"),
        pytest.param({"domain": "com.example"}, "com.example", id="foreign-operators"),
        pytest.param({"inputs": ("image", "second")}, "image, second", id="two-inputs"),
        pytest.param({"inputs": ("picture",)}, "has the inputs picture", id="input-name"),
        pytest.param({"output": "probabilities"}, "the outputs probabilities", id="output-name"),
        pytest.param({"logits": 3}, "expected 7 logits", id="fewer-logits"),
        pytest.param({"keys": metadata(labels='["a\\n","b"]')}, "different printable names", id="control-character"),
        *(
            pytest.param({"keys": metadata(labels=json.dumps(["b", label]))}, "invalid labels", id=name)
            for name, label in (
                ("label-empty", ""),
                ("label-blank", "  "),
                ("label-slash", "a/b"),
                ("label-backslash", "a\\b"),
                ("label-parent", ".."),
                ("label-long", "x" * 65),
                ("label-control", "a\x1b[2J"),
                ("label-case", "B "),
                ("label-width", "\uff42"),
                ("label-number", 3),
                ("label-surrogate", "\ud800"),
                ("label-none", None),
            )
        ),
        pytest.param({"keys": metadata(labels=json.dumps([*map(str, range(1001))]))}, "2..1000", id="1001-labels"),
        pytest.param({"keys": metadata(labels='{"a": 1, "b": 2}')}, "damaged metadata", id="labels-object"),
        pytest.param({"keys": metadata(input=_input(channels=True))}, "True grey channels", id="channels-bool"),
        pytest.param({"keys": metadata(input=_input(height=True))}, "expected a height and", id="height-bool"),
        pytest.param({"keys": metadata(input=_input(height=8.0))}, "expected a height and", id="height-float"),
        pytest.param({"keys": metadata(input="[]")}, "damaged metadata", id="input-list"),
        pytest.param({"keys": metadata(crop='{"margin": true}')}, "damaged metadata", id="margin-bool"),
        pytest.param({"keys": metadata(crop='{"margin": NaN}')}, "damaged metadata", id="margin-nan"),
        pytest.param({"keys": metadata(prior='{"happy": true}')}, "invalid prior", id="prior-bool"),
        pytest.param({"keys": metadata(prior='{"happy": 1e999}')}, "damaged metadata", id="prior-infinite"),
        pytest.param({"keys": metadata(prior="3")}, "damaged metadata", id="prior-number"),
        pytest.param({"keys": metadata(metrics="[" * 100_000)}, "damaged metadata", id="metrics-deep"),
        pytest.param({"keys": metadata(report=f'{{"a": 1{400 * "0"}}}')}, "damaged metadata", id="report-number"),
        pytest.param({"keys": metadata(prior='{"happy": "often"}')}, "invalid prior", id="prior-no-number"),
        pytest.param({"keys": metadata(crop=f'{{"margin": 1{400 * "0"}}}')}, "damaged metadata", id="margin-huge"),
        pytest.param({"keys": metadata(dataset="x" * 2**20)}, "more than 1 MB of metadata", id="metadata-size"),
    ],
)
def test_invalid_metadata_or_graph_is_rejected(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    path = write_model(tmp_path / "bad.onnx", **options)
    with pytest.raises(ModelError, match=message):
        EmotionClassifier.load(path)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"not a model at all", id="text"),
        pytest.param(np.random.default_rng(1).bytes(5000), id="random"),
        pytest.param(model_bytes()[:500], id="truncated"),
        pytest.param(model_bytes()[:-3], id="end-cut-off"),
        pytest.param(b"\x3a\xff\xff\xff\xff\x7f", id="length-beyond-end"),
        pytest.param(b"\xff" * 40, id="endless-varint"),
    ],
)
def test_file_that_is_not_a_model_is_rejected(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"bad\.onnx"):
        EmotionClassifier.load(path)


def _initializer(*dims: int, kind: int = 1, content: bytes = put(9, bytes(8))) -> bytes:
    """Return a graph field with a stored tensor."""
    return put(5, b"".join(put(1, dim) for dim in dims) + put(2, kind) + put(8, "more") + content)


def _node_field(kind: str, attribute: bytes = b"") -> bytes:
    """Return a graph field with a node."""
    return put(1, node(kind, ("grey",), "more", attributes=put(5, attribute) if attribute else b""))


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        pytest.param(_node_field("Loop"), "uses the operator Loop", id="control-flow"),
        pytest.param(_node_field("Slice"), "uses the operator Slice", id="operator-that-aborts"),
        pytest.param(_node_field("Relu", put(1, "body") + put(6, b"")), "contains subgraphs", id="subgraph"),
        pytest.param(_node_field("Conv", put(1, "strides") + put(8, 0)), "strides out of range", id="stride-zero"),
        pytest.param(
            _node_field("Conv", put(1, "group") + put(3, 2**64 - 1)), "group out of range", id="group-negative"
        ),
        pytest.param(
            _node_field("MaxPool", put(1, "kernel_shape") + put(8, 2**40)), "kernel_shape out of", id="kernel-huge"
        ),
        pytest.param(
            _node_field("MaxPool", put(1, "pads") + put(8, b"\x01\x80\x80\x80\x01")), "pads out of", id="packed"
        ),
        pytest.param(_node_field("Relu", put(1, "axis") + put(3, 2**62)), "axis out of range", id="integer-huge"),
        pytest.param(_initializer(3), "a different number of elements", id="tensor-short"),
        pytest.param(
            _initializer(2, content=put(9, bytes(8)) + put(4, bytes(8))), "a different number", id="stored-twice"
        ),
        pytest.param(_initializer(2**62, 2**62), "at most 134217728 elements", id="tensor-huge"),
        pytest.param(_initializer(2**64 - 2, 2**64 - 1), "at most 134217728 elements", id="tensor-negative"),
        pytest.param(_initializer(2, kind=8), "only plain numbers", id="strings"),
        pytest.param(_initializer(*[1] * 9), "9 dimensions", id="rank"),
        pytest.param(
            _initializer(2, content=put(9, bytes(8)) + put(9, b"")), "encoding is damaged", id="content-twice"
        ),
        pytest.param(put(13, value_info("grey", 1, (2**40,))), "dimension outside", id="declared-size"),
        pytest.param(put(13, put(1, "grey") + put(2, put(4, b""))), "values other than tensors", id="sequence"),
        pytest.param(put(15, b""), "sparse tensors", id="sparse"),
        pytest.param(put(1, b"") * 20_001, "at most 20000 are accepted", id="nodes"),
        pytest.param(put(3, 0) * 1_000_001, "more than 1000000 fields", id="fields"),
    ],
)
def test_forbidden_graph_is_rejected_before_a_session_is_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: bytes, message: str
) -> None:
    monkeypatch.delattr("onnxruntime.InferenceSession")
    path = write_model(tmp_path / "bad.onnx", extra=extra)
    with pytest.raises(ModelError, match=message):
        load_session(path)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        pytest.param(put(25, b""), "contains functions", id="functions"),
        pytest.param(put(20, b""), "contains training steps", id="training"),
        pytest.param(put(7, b""), "exactly one graph", id="second-graph"),
    ],
)
def test_model_with_more_than_one_graph_is_rejected(tmp_path: Path, more: bytes, message: str) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(model_bytes() + more)
    with pytest.raises(ModelError, match=message):
        load_session(path)


def test_bounded_session_limits_memory(tmp_path: Path) -> None:
    side = 2**13  # five intermediate results of 256 MB from 64 kB of weights
    stored = put(5, tensor("tall", (side, 1), (1.0,) * side)) + put(5, tensor("wide", (1, side), (1.0,) * side))
    functions = ("Sin", "Cos", "Tanh", "Erf")
    nodes = (
        node("Add", ("tall", "mean"), "high"),
        node("MatMul", ("high", "wide"), "large"),
        *(node(function, ("large",), function) for function in functions),
        node("Sum", ("large", *functions), "sum"),
        node("ReduceMax", ("sum",), "most"),
    )
    between = b"".join(put(1, content) for content in nodes)
    path = write_model(tmp_path / "large.onnx", extra=stored, between=between, pooled="most")
    with pytest.raises(ModelError, match="inference failed"):
        EmotionClassifier.load(path).classify([np.zeros((8, 8), np.uint8)])


def test_single_byte_damage_is_rejected_or_harmless(tmp_path: Path) -> None:
    good, random = bytearray(model_bytes()), np.random.default_rng(7)
    face = np.zeros((8, 8), np.uint8)
    refused = 0
    for position in random.integers(0, len(good), 200):
        damaged = bytearray(good)
        damaged[position] ^= int(random.integers(1, 256))
        path = tmp_path / "damaged.onnx"
        path.write_bytes(damaged)
        try:
            EmotionClassifier.load(path)
        except ModelError:
            refused += 1
    assert 20 < refused < 200
    assert EmotionClassifier.load(write_model(tmp_path / "good.onnx")).classify([face])[0].label == "neutral"


def test_error_for_a_missing_model_lists_the_bundled_ones(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="edgenet"):
        find_model(tmp_path / "none.onnx")


def test_bundled_model_is_found_by_name_and_by_default() -> None:
    assert find_model(None).name == DEFAULT_MODEL
    assert find_model(None) == find_model(Path(DEFAULT_MODEL).stem)
    assert find_model(None) in bundled_models()


def test_larger_model_is_found_in_its_package_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / ACCURATE_PACKAGE
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    path = write_model(package / "accurate.onnx")
    assert find_model("accurate") == path
    assert bundled_models()[0] == path
    assert EmotionClassifier.load("accurate").card.name == "accurate"


def test_missing_larger_model_is_reported_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeinfer.model.card.ACCURATE_PACKAGE", "missing_package")
    with pytest.raises(CapabilityError, match=r"'edgeinfer\[accurate\]', .* pip install \./models/accurate$"):
        find_model("accurate")
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "accurate")
    assert find_model("accurate") == Path("accurate")


def test_summary_of_a_model() -> None:
    summary = summarize(model_bytes(domain="com.example"))
    assert summary.inputs == ("image",)
    assert summary.outputs == ("logits",)
    assert summary.domains == {"", "com.example"}
    assert summary.metadata["edgeinfer.schema"] == "1"
    assert [node.op_type for node in summary.nodes] == ["Cast", "ReduceMean", "MatMul", "Add"]
    assert summary.nodes[1].integers == (("axes", (1, 2)), ("keepdims", (0,)))
    assert [(t.dims, t.raw_bytes, t.external) for t in summary.tensors] == [((1, 7), 28, False), ((7,), 28, False)]


def test_session_accepts_any_batch_size(tiny_model: Path) -> None:
    session, _ = load_session(tiny_model)
    for count in (1, 3):
        assert session.run(["logits"], {"image": np.zeros((count, 8, 8, 1), np.uint8)})[0].shape == (count, 7)
