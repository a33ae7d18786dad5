from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer import EmotionClassifier, ModelError, ModelNotFoundError, bundled_models, read_card
from edgeinfer.model import DEFAULT_MODEL, find_model, load_session
from edgeinfer.onnx_file import summarize
from tools.tiny_model import metadata, model_bytes, write_model


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


def test_card_holds_what_the_file_says(tiny_model: Path) -> None:
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
    ("options", "says"),
    [
        pytest.param({"keys": {}}, "does not say how to use it", id="no-metadata"),
        pytest.param({"keys": metadata(crop=None)}, "edgeinfer.crop is missing", id="one-key-missing"),
        pytest.param({"keys": metadata(schema="2")}, "follows schema 2", id="newer-schema"),
        pytest.param({"keys": metadata(labels="[")}, "damaged metadata", id="labels-no-json"),
        pytest.param({"keys": metadata(labels='["a","a"]')}, "two or more different labels", id="same-labels"),
        pytest.param({"keys": metadata(labels='["a","b"]')}, "promise 2 logits", id="other-number-of-labels"),
        pytest.param({"keys": metadata(input=_input(layout="NCHW"))}, "expected NHWC uint8", id="layout"),
        pytest.param({"keys": metadata(input=_input(height=9))}, "its metadata promise", id="other-size"),
        pytest.param({"keys": metadata(input=_input(height=1e9))}, "expected sides", id="absurd-size"),
        pytest.param({"keys": metadata(input=_input(colour="rgb"))}, "channels of rgb", id="colour"),
        pytest.param({"keys": metadata(temperature="0")}, "temperature", id="temperature-zero"),
        pytest.param({"keys": metadata(temperature="nan")}, "temperature", id="temperature-nan"),
        pytest.param({"keys": metadata(crop='{"margin": 9}')}, "margin out of range", id="margin"),
        pytest.param({"external": True}, "another file", id="external-data"),
        pytest.param({"domain": "com.example"}, "com.example", id="foreign-operators"),
        pytest.param({"inputs": ("image", "second")}, "image, second", id="two-inputs"),
        pytest.param({"inputs": ("picture",)}, "maps picture", id="input-name"),
        pytest.param({"output": "probabilities"}, "to probabilities", id="output-name"),
        pytest.param({"logits": 3}, "promise 7 logits", id="fewer-logits"),
    ],
)
def test_refused_models(tmp_path: Path, options: dict[str, Any], says: str) -> None:
    path = write_model(tmp_path / "bad.onnx", **options)
    with pytest.raises(ModelError, match=says):
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
def test_files_that_are_no_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"bad\.onnx"):
        EmotionClassifier.load(path)


def test_single_byte_damage_is_refused_or_harmless(tmp_path: Path) -> None:
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


def test_missing_model_names_the_bundled_ones(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="edgenet"):
        find_model(tmp_path / "none.onnx")


def test_bundled_model_is_found_by_name_and_by_default() -> None:
    assert find_model(None).name == DEFAULT_MODEL
    assert find_model(None) == find_model(Path(DEFAULT_MODEL).stem)
    assert find_model(None) in bundled_models()


def test_summary_of_the_wire_format() -> None:
    summary = summarize(model_bytes(domain="com.example"))
    assert summary.inputs == ("image",)
    assert summary.outputs == ("logits",)
    assert summary.domains == {"", "com.example"}
    assert summary.metadata["edgeinfer.schema"] == "1"
    assert [node.kind for node in summary.nodes] == ["Cast", "ReduceMean", "MatMul", "Add"]
    assert summary.nodes[1].integers == (("axes", (1, 2)), ("keepdims", (0,)))
    assert [(t.dims, t.raw_bytes, t.external) for t in summary.tensors] == [((1, 7), 28, False), ((7,), 28, False)]


def test_session_takes_any_batch(tiny_model: Path) -> None:
    session, _ = load_session(tiny_model)
    for count in (1, 3):
        assert session.run(["logits"], {"image": np.zeros((count, 8, 8, 1), np.uint8)})[0].shape == (count, 7)
