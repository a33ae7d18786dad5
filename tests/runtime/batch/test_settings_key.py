"""Tests of the hash of the settings that change results."""

from __future__ import annotations

import shutil
from dataclasses import fields, replace
from pathlib import Path

import pytest

from edgeinfer.batch.jobs import WorkSettings
from edgeinfer.batch.settings_key import settings_key
from edgeinfer.detection.cascade_files import find_cascade
from edgeinfer.errors import ModelError, UsageError
from edgeinfer.model.card import find_model
from edgeinfer.options.groups import ContentOptions, DecodingOptions, DetectionOptions, ModelOptions

DEFAULT = WorkSettings(ModelOptions(), DetectionOptions(), DecodingOptions(), ContentOptions())
OTHER = {
    "detector": "none",
    "detect_every": "5",
    "cascade": "haarcascade_profileface",
    "model": "edgenet-ferplus8-int8",
    "prior": "balanced",
    "rotate": "90",
}
"""Values of options that are neither a number nor a flag."""
FILES = {"detector_model"}


def _cases() -> list[tuple[str, str]]:
    groups = ("model", "detection", "decoding", "content")
    return [(group, field.name) for group in groups for field in fields(getattr(DEFAULT, group))]


@pytest.mark.parametrize(("group", "name"), [case for case in _cases() if case[1] not in FILES])
def test_every_option_except_threads_changes_the_key(group: str, name: str) -> None:
    options = getattr(DEFAULT, group)
    value = getattr(options, name)
    number = value + 0.25 if isinstance(value, float) else 3
    other = OTHER.get(name, not value if isinstance(value, bool) else number)
    changed = replace(DEFAULT, **{group: replace(options, **{name: other})})
    assert (settings_key(changed) == settings_key(DEFAULT)) == (name == "threads")


def test_maximum_number_of_frames_changes_the_key() -> None:
    assert settings_key(replace(DEFAULT, max_frames=7)) != settings_key(DEFAULT)


def test_files_count_by_their_content(tmp_path: Path) -> None:
    model, cascade, same = tmp_path / "copy.onnx", tmp_path / "a.xml", tmp_path / "b.xml"
    shutil.copy(find_model(None), model)
    for copy in (cascade, same):
        shutil.copy(find_cascade(None), copy)
    copies, others = (replace(DEFAULT, detection=DetectionOptions(cascade=str(copy))) for copy in (cascade, same))
    assert settings_key(replace(DEFAULT, model=ModelOptions(model=str(model)))) == settings_key(DEFAULT)
    assert settings_key(copies) == settings_key(others)
    with cascade.open("a") as file:
        file.write("\n")
    assert settings_key(copies) != settings_key(others)


def test_detector_model_and_prior_count_by_their_content(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a", "b", "c")]
    for file, content in zip(files, ("1", "1", "2"), strict=True):
        file.write_text(content)
    keys = [
        settings_key(replace(DEFAULT, detection=DetectionOptions(detector="yunet", detector_model=file)))
        for file in files
    ] + [settings_key(replace(DEFAULT, model=ModelOptions(prior=str(file)))) for file in files]
    assert keys[0] == keys[1] != keys[2]
    assert keys[3] == keys[4] != keys[5]


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        pytest.param(replace(DEFAULT, model=ModelOptions(model="missing.onnx")), ModelError, id="model"),
        pytest.param(replace(DEFAULT, model=ModelOptions(prior="missing.json")), UsageError, id="prior"),
        pytest.param(replace(DEFAULT, detection=DetectionOptions(cascade="missing.xml")), ModelError, id="cascade"),
        pytest.param(
            replace(DEFAULT, detection=DetectionOptions(detector="yunet", detector_model=Path("missing"))),
            ModelError,
            id="detector model",
        ),
    ],
)
def test_missing_file(settings: WorkSettings, error: type[Exception]) -> None:
    with pytest.raises(error, match="missing"):
        settings_key(settings)
