from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer import EmotionClassifier, UsageError, load_pipeline
from edgeinfer.expression.prior import MAX_BYTES, logit_offsets, read_prior
from tools.cli import edgeinfer, error_of
from tools.tiny_model import LABELS, metadata, write_model

NAMES, TRAINED = ("neutral", "happy", "fear"), {"neutral": 0.6, "happy": 0.3, "fear": 0.1}
GREY = np.full((8, 8), 120, np.uint8)


def test_offsets_are_the_log_of_expected_over_trained_share() -> None:
    assert not logit_offsets("natural", NAMES, TRAINED).any()
    np.testing.assert_allclose(logit_offsets("balanced", NAMES, TRAINED), np.log([1 / 1.8, 1 / 0.9, 1 / 0.3]))
    expected: dict[str, float] = {"fear": 1, "neutral": 2, "happy": 1}  # any order, any sum
    np.testing.assert_allclose(logit_offsets(expected, NAMES, TRAINED), np.log([0.5 / 0.6, 0.25 / 0.3, 0.25 / 0.1]))


def test_training_distribution_gives_zero_offsets() -> None:
    np.testing.assert_allclose(logit_offsets(TRAINED, NAMES, TRAINED), 0, atol=1e-12)


def test_offset_of_an_untrained_label_is_bounded() -> None:
    offsets = logit_offsets("balanced", NAMES, {"neutral": 0.5, "happy": 0.5})
    assert offsets[2] == pytest.approx(math.log(1 / 3 / 1e-4), rel=0.01)


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        pytest.param("often", "natural, balanced", id="unknown-name"),
        pytest.param({"neutral": 1, "happy": 1}, "fear is missing", id="missing-label"),
        pytest.param({**TRAINED, "bored": 1}, "bored is unknown", id="unknown-label"),
        pytest.param({**TRAINED, "fear": -0.1}, "shares of 0..1e", id="negative"),
        pytest.param({**TRAINED, "fear": math.nan}, "shares of 0..1e", id="nan"),
        pytest.param({**TRAINED, "fear": "rare"}, "shares of 0..1e", id="not-a-number"),
        pytest.param(dict.fromkeys(NAMES, 0), "above 0", id="all-zero"),
    ],
)
def test_invalid_priors_are_rejected(prior: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        logit_offsets(prior, NAMES, TRAINED)


def test_classifier_and_pipeline_apply_the_prior(tmp_path: Path) -> None:
    trained = {**dict.fromkeys(LABELS, 0.05), "neutral": 0.7}
    path = write_model(tmp_path / "m.onnx", keys=metadata(prior=json.dumps(trained), temperature="2"))
    natural = EmotionClassifier.load(path).classify([GREY])[0].probabilities
    balanced = EmotionClassifier.load(path, prior="balanced").classify([GREY])[0].probabilities
    before, after = natural["neutral"] / natural["happy"], balanced["neutral"] / balanced["happy"]
    assert after == pytest.approx(before * 0.05 / 0.7)
    assert sum(balanced.values()) == pytest.approx(1)
    without = EmotionClassifier.load(path, prior={**trained, "happy": 0.0}).classify([GREY])[0].probabilities
    assert without["happy"] == 0
    pipeline = load_pipeline(model=path, detector="none", track=False, prior="balanced")
    assert pipeline(np.dstack([GREY.repeat(4, 0).repeat(4, 1)] * 3)).faces[0].emotion.probabilities == pytest.approx(
        balanced
    )


def test_prior_is_read_by_name_or_from_a_file(tmp_path: Path) -> None:
    assert (read_prior("natural"), read_prior("balanced")) == ("natural", "balanced")
    path = tmp_path / "here.json"
    path.write_text(json.dumps(TRAINED), encoding="utf-8")
    assert read_prior(str(path)) == TRAINED


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "expected natural, balanced, or a readable JSON file"),
        ("{", "not valid JSON"),
        ("[1]", "one JSON object"),
    ],
    ids=["missing-file", "invalid-json", "json-list"],
)
def test_invalid_prior_files_are_rejected(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "p.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        read_prior(str(path))


ALL = dict.fromkeys(LABELS, 1.0)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        pytest.param(json.dumps(ALL).encode(), 0, id="valid"),
        pytest.param(json.dumps(ALL).encode("utf-8-sig"), 0, id="byte-order-mark"),
        pytest.param(json.dumps({**ALL, "fear": 1e-320}).encode(), 0, id="tiny"),
        pytest.param(json.dumps({**ALL, "fear": 1e9}).encode(), 0, id="count"),
        pytest.param(json.dumps(dict.fromkeys(LABELS, 5e-324)).encode(), 0, id="all-tiny"),
        pytest.param(json.dumps(dict.fromkeys(LABELS, 1e308)).encode(), 2, id="huge"),
        pytest.param(json.dumps({**ALL, "fear": int("1" + 400 * "0")}).encode(), 2, id="401-digits"),
        pytest.param(json.dumps(ALL).replace("1.0", "1" * 5000, 1).encode(), 2, id="5000-digits"),
        pytest.param(json.dumps({**ALL, "fear": math.nan}).encode(), 2, id="nan"),
        pytest.param(json.dumps({**ALL, "fear": math.inf}).encode(), 2, id="infinite"),
        pytest.param(json.dumps({**ALL, "fear": True}).encode(), 2, id="bool"),
        pytest.param(json.dumps({**ALL, "fear": -0.5}).encode(), 2, id="negative"),
        pytest.param(json.dumps({**ALL, "fear": None}).encode(), 2, id="null"),
        pytest.param(json.dumps({**ALL, "x\x1b[2J" * 99: 1}).encode(), 2, id="hostile-label"),
        pytest.param(json.dumps(ALL).replace('"happy"', '"fear"').encode(), 2, id="duplicate"),
        pytest.param(b"[" * 100_000, 2, id="deep"),
        pytest.param(json.dumps(ALL).encode("utf-16"), 2, id="utf-16"),
        pytest.param(b'{"caf\xe9": 1}', 2, id="latin-1"),
        pytest.param(b" " * (MAX_BYTES + 1), 2, id="large"),
        pytest.param(b"", 2, id="empty"),
    ],
)
def test_prior_file_gives_finite_probabilities_or_exits_with_2(
    tmp_path: Path, face_picture: Path, tiny_model: Path, content: bytes, code: int
) -> None:
    path, out = tmp_path / "p.json", tmp_path / "out.jsonl"
    path.write_bytes(content)
    options: list[str | Path] = ["--model", tiny_model, "--detector", "none", "--quiet", "--out", out, "--prior", path]
    done = edgeinfer("run", face_picture, *options)
    if code:
        assert len(error_of(done, code)) < 1000
        return
    assert done.returncode == 0, done.stderr
    face = json.loads(out.read_text().splitlines()[1])["faces"][0]
    assert all(math.isfinite(share) for share in (*face["probabilities"].values(), *face["raw"].values()))
    assert sum(face["raw"].values()) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("kind", ["folder", "fifo", "missing", "long-name", "null-byte"])
def test_prior_that_is_not_a_regular_file_is_rejected(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "p.json"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    text = {"long-name": "x" * 5000, "null-byte": "a\0b"}.get(kind, str(path))
    with pytest.raises(UsageError, match=r"p\.json|too long|invalid path"):
        read_prior(text)
