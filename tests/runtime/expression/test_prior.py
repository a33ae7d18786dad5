from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer import EmotionClassifier, UsageError, load_pipeline
from edgeinfer.expression.prior import logit_offsets, read_prior
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
    assert pipeline(np.dstack([GREY] * 3)).faces[0].emotion.probabilities == pytest.approx(balanced)


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
