from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer import EmotionClassifier, UsageError, load_pipeline
from edgeinfer.expression.prior import read_prior, shift
from tools.tiny_model import LABELS, metadata, write_model

NAMES, TRAINED = ("neutral", "happy", "fear"), {"neutral": 0.6, "happy": 0.3, "fear": 0.1}
GREY = np.full((8, 8), 120, np.uint8)


def test_answers_move_by_the_ratio_of_the_shares() -> None:
    assert not shift("natural", NAMES, TRAINED).any()
    np.testing.assert_allclose(shift("balanced", NAMES, TRAINED), np.log([1 / 1.8, 1 / 0.9, 1 / 0.3]))
    wanted: dict[str, float] = {"fear": 1, "neutral": 2, "happy": 1}  # any order, any sum
    np.testing.assert_allclose(shift(wanted, NAMES, TRAINED), np.log([0.5 / 0.6, 0.25 / 0.3, 0.25 / 0.1]))


def test_what_was_expected_in_training_changes_nothing() -> None:
    np.testing.assert_allclose(shift(TRAINED, NAMES, TRAINED), 0, atol=1e-12)


def test_a_label_that_training_never_saw_moves_within_reason() -> None:
    moved = shift("balanced", NAMES, {"neutral": 0.5, "happy": 0.5})
    assert moved[2] == pytest.approx(math.log(1 / 3 / 1e-4), rel=0.01)


@pytest.mark.parametrize(
    ("prior", "says"),
    [
        pytest.param("often", "natural, balanced", id="another-name"),
        pytest.param({"neutral": 1, "happy": 1}, "leaves out fear", id="too-few"),
        pytest.param({**TRAINED, "bored": 1}, "names bored", id="too-many"),
        pytest.param({**TRAINED, "fear": -0.1}, "0 or more", id="negative"),
        pytest.param({**TRAINED, "fear": math.nan}, "0 or more", id="nan"),
        pytest.param({**TRAINED, "fear": "rare"}, "0 or more", id="no-number"),
        pytest.param(dict.fromkeys(NAMES, 0), "more than 0", id="nothing"),
    ],
)
def test_what_is_no_prior(prior: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        shift(prior, NAMES, TRAINED)


def test_the_classifier_answers_by_it(tmp_path: Path) -> None:
    often = {**dict.fromkeys(LABELS, 0.05), "neutral": 0.7}
    path = write_model(tmp_path / "m.onnx", keys=metadata(prior=json.dumps(often), temperature="2"))
    natural = EmotionClassifier.load(path).classify([GREY])[0].probabilities
    balanced = EmotionClassifier.load(path, prior="balanced").classify([GREY])[0].probabilities
    before, after = natural["neutral"] / natural["happy"], balanced["neutral"] / balanced["happy"]
    assert after == pytest.approx(before * 0.05 / 0.7)
    assert sum(balanced.values()) == pytest.approx(1)
    never = EmotionClassifier.load(path, prior={**often, "happy": 0.0}).classify([GREY])[0].probabilities
    assert never["happy"] == 0
    pipeline = load_pipeline(model=path, detector="none", track=False, prior="balanced")
    assert pipeline(np.dstack([GREY] * 3)).faces[0].emotion.probabilities == pytest.approx(balanced)


def test_the_option_names_a_prior_or_a_file(tmp_path: Path) -> None:
    assert (read_prior("natural"), read_prior("balanced")) == ("natural", "balanced")
    path = tmp_path / "here.json"
    path.write_text(json.dumps(TRAINED), encoding="utf-8")
    assert read_prior(str(path)) == TRAINED


@pytest.mark.parametrize(
    ("text", "says"), [(None, "neither natural, balanced nor a file"), ("{", "no JSON"), ("[1]", "one JSON object")]
)
def test_files_that_hold_no_prior(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "p.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=says):
        read_prior(str(path))
