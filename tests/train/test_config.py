from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeinfer_train.config import AugmentConfig, FitConfig, load_config, save_config
from edgeinfer_train.errors import ConfigError

BAD = {
    "unknown setting": ({"epoch": 3}, "unknown setting epoch"),
    "unknown in augment": ({"augment": {"twist": 1.0}}, "unknown setting augment.twist"),
    "augment is no table": ({"augment": 1}, r"\[augment\]"),
    "text for a number": ({"epochs": "3"}, "of type int"),
    "float for an int": ({"epochs": 3.5}, "of type int"),
    "truth for an int": ({"epochs": True}, "of type int"),
    "number for a truth": ({"augment": {"flip": 1}}, "of type bool"),
    "unknown backbone": ({"backbone": "vgg99"}, "choose one of edgenet"),
    "unknown precision": ({"precision": "int8"}, "float32, mixed_bfloat16"),
    "unknown monitor": ({"monitor": "loss"}, "val_accuracy, val_loss"),
    "no epochs": ({"epochs": 0}, "more than 0"),
    "negative rate": ({"learning_rate": -0.1}, "more than 0"),
    "rate not a number": ({"learning_rate": float("nan")}, "more than 0"),
    "endless width": ({"width": float("inf")}, "more than 0"),
    "negative patience": ({"patience": -1}, "0 or more"),
    "negative limit": ({"limit": -1}, "0 or more"),
    "dropout of all": ({"dropout": 1.0}, "1 left out"),
    "ema of one": ({"ema_momentum": 1.0}, "1 left out"),
    "smoothing all": ({"label_smoothing": 1.0}, "1 left out"),
    "unknown phases": ({"phases": "three"}, "whole, two-phase"),
    "unknown optimizer": ({"optimizer": "lion"}, "sgd, adamw"),
    "unknown schedule": ({"schedule": "step"}, "cosine, constant"),
    "unknown class weights": ({"class_weights": "rare"}, "none, balanced"),
    "fewer layers than none": ({"trainable_layers": -2}, "-1 for all, 0 or more"),
    "negative size": ({"image_size": -1}, "0 or more"),
    "width of a large network": ({"backbone": "vgg16", "width": 0.5}, "vgg16 has one width"),
    "nothing but the head": ({"phases": "two-phase", "epochs": 2, "head_epochs": 2}, "leave some for the rest"),
    "a head without epochs": ({"head_epochs": 0}, "more than 0"),
    "views without a teacher": ({"distil_views": 3}, "with teachers"),
    "cold distillation": ({"distil_temperature": 0.0}, "more than 0"),
    "only teachers and more": ({"distil_weight": 1.5}, "in 0..1"),
    "one teacher, no list": ({"teachers": "run"}, "of type list of text"),
    "a numbered teacher": ({"teachers": [1]}, "of type list of text"),
    "negative low light": ({"augment": {"low_light": -0.1}}, "0 or more"),
    "negative rotation": ({"augment": {"rotation": -1.0}}, "0 or more"),
    "zoom to nothing": ({"augment": {"zoom": 1.0}}, "1 left out"),
    "inverting contrast": ({"augment": {"contrast": 1.5}}, "in 0..1"),
    "certain and more": ({"augment": {"mixup": 1.1}}, "in 0..1"),
}


@pytest.mark.parametrize(("values", "message"), BAD.values(), ids=BAD.keys())
def test_wrong_settings_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        FitConfig.from_mapping(values)
    assert caught.value.exit_code == 2


def test_defaults_and_partial_tables() -> None:
    config = FitConfig.from_mapping({"epochs": 3, "learning_rate": 1, "augment": {"flip": False}})
    assert (config.epochs, config.learning_rate, config.augment.flip) == (3, 1.0, False)
    assert type(config.learning_rate) is float
    assert config.augment.rotation == AugmentConfig().rotation
    assert FitConfig.from_mapping({}) == FitConfig()


def test_saved_settings_come_back(tmp_path: Path) -> None:
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
def test_unreadable_files_are_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "config.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_config(path)


def test_what_a_table_leaves_out_depends_on_its_backbone() -> None:
    tuned = FitConfig.from_mapping({"backbone": "vgg16", "augment": {"flip": False}})
    assert tuned == replace(FitConfig.for_backbone("vgg16"), augment=replace(tuned.augment, flip=False))
    assert (tuned.learning_rate, tuned.patience, tuned.augment.zoom) == (0.001, 2, 0.05)
    assert FitConfig.for_backbone("xception").learning_rate == 0.01
    assert FitConfig.for_backbone("edgenet-sep") == FitConfig(backbone="edgenet-sep")


def test_one_phase_needs_no_epochs_for_a_head() -> None:
    assert FitConfig(epochs=1, head_epochs=2).head_phase == 0
    assert FitConfig(epochs=3, head_epochs=2, phases="two-phase").head_phase == 2
