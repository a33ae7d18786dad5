"""Verification of model files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from edgeinfer import ModelError
from edgeinfer.cli import app as cli
from edgeinfer.model.onnx_reader import graph_digest
from edgeinfer.model.session import load_session
from edgeinfer.model.verify import DIGEST_KEY, SAMPLES_KEY, record, sample_pictures, verify
from tools.tiny_model import LABELS, metadata, model_bytes, write_model


@pytest.fixture(scope="session")
def keys(tiny_model: Path) -> dict[str, str]:
    """Metadata of the tiny model with digest and samples."""
    samples = record(load_session(tiny_model)[0], (8, 8, 1), tolerance=0.01)
    return {**metadata(), DIGEST_KEY: graph_digest(model_bytes()), SAMPLES_KEY: json.dumps(samples)}


def with_samples(keys: dict[str, str], **changes: Any) -> dict[str, str]:
    """Return metadata with modified samples."""
    return {**keys, SAMPLES_KEY: json.dumps({**json.loads(keys[SAMPLES_KEY]), **changes})}


def test_generated_pictures_are_stable() -> None:
    pictures = sample_pictures(3, (50, 31, 3), 7)
    assert pictures.shape == (3, 50, 31, 3)
    expected = "f4cacc83b90394106b622917a079fb0d9d025051cf841b8ea9c98e07db7e2bf7"
    assert hashlib.sha256(pictures.tobytes()).hexdigest() == expected
    assert (sample_pictures(2, (50, 31, 3), 7) == pictures[:2]).all()
    assert (sample_pictures(3, (50, 31, 3), 8) != pictures).any()


def test_generated_pictures_have_contrast_and_little_noise() -> None:
    picture = sample_pictures(1, (48, 48, 1), 1)[0, :, :, 0].astype(float)
    means = picture.reshape(6, 8, 6, 8).mean(axis=(1, 3))
    assert means.std() > 50, "blocks differ"
    assert picture.reshape(6, 8, 6, 8).std(axis=(1, 3)).max() < 16, "little noise within a block"


def test_digest_excludes_metadata() -> None:
    digest = graph_digest(model_bytes())
    assert (
        digest == graph_digest(model_bytes(keys={"edgeinfer.dataset": "another"})) == graph_digest(model_bytes(keys={}))
    )
    assert digest != graph_digest(model_bytes(logits=6))
    assert digest == hashlib.sha256(model_bytes(keys={})).hexdigest()


def test_unmodified_model_passes_all_checks(tmp_path: Path, keys: dict[str, str]) -> None:
    checks = verify(write_model(tmp_path / "good.onnx", keys=keys))
    assert [check.name for check in checks] == ["structure", "digest", "answers"]
    assert "4 standard operators, 2 tensors" in checks[0].detail
    assert keys[DIGEST_KEY] in checks[1].detail
    assert "4 generated pictures" in checks[2].detail


def test_recorded_logits_are_short_and_varied(keys: dict[str, str]) -> None:
    samples = json.loads(keys[SAMPLES_KEY])
    logits = np.array(samples["logits"])
    assert logits.shape == (4, len(LABELS))
    assert np.ptp(logits[:, 1]) > 0.1, "the pictures differ in brightness"
    assert all(len(f"{value:g}") <= 8 for value in logits.ravel())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"tolerance": 0.6}, "damaged metadata", id="tolerance-large"),
        pytest.param({"tolerance": -0.1}, "damaged metadata", id="tolerance-negative"),
        pytest.param({"tolerance": float("nan")}, "damaged metadata", id="tolerance-nan"),
        pytest.param({"tolerance": None}, "damaged metadata", id="tolerance-missing"),
        pytest.param({"seed": "one"}, "damaged metadata", id="seed-no-number"),
        pytest.param({"logits": []}, "damaged metadata", id="no-logits"),
        pytest.param({"logits": [[0.0] * 6]}, "damaged metadata", id="fewer-logits"),
        pytest.param({"logits": [[0.0] * 7, [0.0]]}, "damaged metadata", id="ragged-logits"),
        pytest.param({"logits": [[float("inf")] * 7]}, "damaged metadata", id="infinite-logits"),
        pytest.param({"logits": [[0.0] * 7] * 1000}, "damaged metadata", id="too-many-logits"),
        pytest.param({"logits": [[6.0, 0.0, -2.0, -2.0, -2.0, -2.0, -2.0]]}, "relative difference", id="other-logits"),
        pytest.param(
            {"seed": 5, "tolerance": 0.5, "logits": [[0, 0, 9, 0, 0, 0, 0]]}, "labels changed", id="other-label"
        ),
    ],
)
def test_invalid_or_different_samples_are_rejected(
    tmp_path: Path, keys: dict[str, str], changes: dict[str, Any], message: str
) -> None:
    path = write_model(tmp_path / "bad.onnx", keys=with_samples(keys, **changes))
    with pytest.raises(ModelError, match=message):
        verify(path)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        pytest.param(DIGEST_KEY, "no digest in its metadata", id="digest"),
        pytest.param(SAMPLES_KEY, "no samples in its metadata", id="samples"),
    ],
)
def test_missing_digest_or_samples_are_rejected(
    tmp_path: Path, keys: dict[str, str], missing: str, message: str
) -> None:
    path = write_model(tmp_path / "bare.onnx", keys={k: v for k, v in keys.items() if k != missing})
    with pytest.raises(ModelError, match=message):
        verify(path)


def test_modified_graph_is_rejected(tmp_path: Path, keys: dict[str, str]) -> None:
    path = tmp_path / "changed.onnx"
    path.write_bytes(model_bytes(keys=keys).replace(b"tiny", b"TINY"))
    with pytest.raises(ModelError, match="was modified"):
        verify(path)


def test_command_prints_one_line_per_check(
    tmp_path: Path, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_model(tmp_path / "good.onnx", keys=keys)
    result = CliRunner().invoke(cli.app, ["models", str(path), "--verify"])
    assert result.exit_code == 0
    assert [line.split()[:2] for line in result.stdout.splitlines()] == [
        ["good", name] for name in ("structure", "digest", "answers")
    ]
    monkeypatch.setattr("edgeinfer.model.card.bundled_models", lambda: (path, path))
    assert CliRunner().invoke(cli.app, ["models", "--verify"]).stdout == 2 * result.stdout
