from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeinfer_train.config import AugmentConfig, FitConfig, load_config, save_config
from edgeinfer_train.errors import ConfigError

INVALID = {
    "unknown setting": ({"epoch": 3}, "unknown setting epoch"),
    "unknown in augment": ({"augment": {"twist": 1.0}}, "unknown setting augment.twist"),
    "augment is not a table": ({"augment": 1}, r"\[augment\]"),
    "text for an int": ({"epochs": "3"}, "of type int"),
    "float for an int": ({"epochs": 3.5}, "of type int"),
    "bool for an int": ({"epochs": True}, "of type int"),
    "number for a bool": ({"augment": {"flip": 1}}, "of type bool"),
    "unknown backbone": ({"backbone": "vgg99"}, "expected one of edgenet"),
    "unknown precision": ({"precision": "int8"}, "float32, mixed_bfloat16"),
    "unknown monitor": ({"monitor": "loss"}, "val_accuracy, val_loss"),
    "no epochs": ({"epochs": 0}, "expected a value above 0"),
    "negative rate": ({"learning_rate": -0.1}, "expected a value above 0"),
    "rate not a number": ({"learning_rate": float("nan")}, "expected a value above 0"),
    "infinite width": ({"width": float("inf")}, "expected a value above 0"),
    "negative patience": ({"patience": -1}, "expected 0 or more"),
    "negative limit": ({"limit": -1}, "expected 0 or more"),
    "dropout of 1": ({"dropout": 1.0}, "from 0 to below 1"),
    "averaging momentum of 1": ({"ema_momentum": 1.0}, "from 0 to below 1"),
    "label smoothing of 1": ({"label_smoothing": 1.0}, "from 0 to below 1"),
    "unknown phases": ({"phases": "three"}, "whole, two-phase"),
    "unknown optimizer": ({"optimizer": "lion"}, "sgd, adamw"),
    "unknown schedule": ({"schedule": "step"}, "cosine, constant"),
    "unknown class weights": ({"class_weights": "rare"}, "none, balanced"),
    "fewer than -1 layers": ({"trainable_layers": -2}, "-1 for all, 0 or more"),
    "negative size": ({"image_size": -1}, "expected 0 or more"),
    "width of a large network": ({"backbone": "vgg16", "width": 0.5}, "only edge networks have a width, not vgg16"),
    "head epochs only": (
        {"phases": "two-phase", "epochs": 2, "head_epochs": 2},
        "expected fewer than the 2 of `epochs`",
    ),
    "head phase without epochs": ({"head_epochs": 0}, "expected a value above 0"),
    "views without a teacher": ({"distil_views": 3}, "views need teachers"),
    "temperature of 0": ({"distil_temperature": 0.0}, "expected a value above 0"),
    "distillation weight above 1": ({"distil_weight": 1.5}, "from 0 to 1"),
    "teacher instead of a list": ({"teachers": "run"}, "of type list of strings"),
    "number as a teacher": ({"teachers": [1]}, "of type list of strings"),
    "negative low light": ({"augment": {"low_light": -0.1}}, "expected 0 or more"),
    "negative rotation": ({"augment": {"rotation": -1.0}}, "expected 0 or more"),
    "zoom of 1": ({"augment": {"zoom": 1.0}}, "from 0 to below 1"),
    "contrast above 1": ({"augment": {"contrast": 1.5}}, "from 0 to 1"),
    "probability above 1": ({"augment": {"mixup": 1.1}}, "from 0 to 1"),
}


@pytest.mark.parametrize(("values", "message"), INVALID.values(), ids=INVALID.keys())
def test_invalid_settings_are_rejected(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        FitConfig.from_mapping(values)
    assert caught.value.exit_code == 2


def test_missing_settings_have_defaults() -> None:
    config = FitConfig.from_mapping({"epochs": 3, "learning_rate": 1, "augment": {"flip": False}})
    assert (config.epochs, config.learning_rate, config.augment.flip) == (3, 1.0, False)
    assert type(config.learning_rate) is float
    assert config.augment.rotation == AugmentConfig().rotation
    assert FitConfig.from_mapping({}) == FitConfig()


def test_saved_settings_are_loaded(tmp_path: Path) -> None:
    teachers = ("runs/a", "runs/b")
    config = FitConfig(
        epochs=7, backbone="edgenet-sep", teachers=teachers, augment=AugmentConfig(mixup=0.0, flip=False)
    )
    save_config(config, tmp_path / "config.toml")
    assert load_config(tmp_path / "config.toml") == config


def test_replace_ignores_none() -> None:
    assert FitConfig(epochs=7).replace(epochs=None, seed=3) == FitConfig(epochs=7, seed=3)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"epochs = ", "not valid TOML"), (b"\xff\xfe", "not valid TOML"), (None, "cannot read")],
    ids=["broken", "not text", "missing"],
)
def test_unreadable_files_are_rejected(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "config.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_config(path)


def test_defaults_depend_on_the_backbone() -> None:
    tuned = FitConfig.from_mapping({"backbone": "vgg16", "augment": {"flip": False}})
    assert tuned == replace(FitConfig.for_backbone("vgg16"), augment=replace(tuned.augment, flip=False))
    assert (tuned.learning_rate, tuned.patience, tuned.augment.zoom) == (0.001, 2, 0.05)
    assert FitConfig.for_backbone("xception").learning_rate == 0.01
    assert FitConfig.for_backbone("edgenet-sep") == FitConfig(backbone="edgenet-sep")


def test_head_phase_counts_with_two_phases_only() -> None:
    assert FitConfig(epochs=1, head_epochs=2).head_phase == 0
    assert FitConfig(epochs=3, head_epochs=2, phases="two-phase").head_phase == 2
