from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeinfer_train.augmentation import AugmentConfig
from edgeinfer_train.config import FitConfig
from edgeinfer_train.config_file import load_config, save_config
from edgeinfer_train.errors import ConfigError


def deep_table(levels: int) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for _ in range(levels):
        table = {"a": table}
    return table


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
    "nested table": ({"epochs": {"a": {"b": 1}}}, "of type int"),
    "list of numbers": ({"batch_size": [64]}, "of type int"),
    "deep table": ({"epochs": deep_table(5000)}, "epochs is too large to be shown: expected a value of type int"),
    "long text": ({"epochs": "x" * 5000}, r"epochs is 'x{59}\.\.\.: expected"),
    "unknown setting with control characters": ({"epo\nchs\x1b[2J": 3}, "unknown setting epo chs "),
    "float epochs": ({"epochs": 1e20}, "of type int"),
    "epochs of 10^20": ({"epochs": 10**20}, "`epochs` is 100000000000000000000: expected .* at most 1,000,000"),
    "integer of 5000 digits": ({"epochs": 10**5000}, "`epochs` is too large to be shown: .* at most 1,000,000"),
    "large size": ({"image_size": 1_000_000}, "`image_size` is 1000000: expected 0 or more, at most 1,024"),
    "large width": ({"width": 1e9}, "`width` is 1000000000.0: expected a value above 0, at most 16"),
    "width of 10^400": ({"width": 10**400}, "`width` is inf: expected"),
    "large batch": ({"batch_size": 10**12}, "`batch_size` is 1000000000000: .* at most 65,536"),
    "negative seed": ({"seed": -1}, "`seed` is -1: expected 0 or more"),
    "large seed": ({"seed": 10**30}, "`seed` is 10{30}: expected 0 or more, at most 2,147,483,647"),
    "large limit": ({"limit": 10**30}, "`limit` .* at most 1,000,000,000"),
    "large patience": ({"patience": 10**30}, "`patience` .* at most 1,000,000"),
    "large head phase": ({"head_epochs": 10**30}, "`head_epochs` .* at most 1,000,000"),
    "large rate": ({"learning_rate": 1e30}, "`learning_rate` .* at most 1,000"),
    "large warm-up": ({"warmup_epochs": float("inf")}, "`warmup_epochs` .* at most 1,000,000"),
    "weight decay not a number": ({"weight_decay": float("nan")}, "`weight_decay` is nan: expected 0 or more"),
    "many trainable layers": ({"trainable_layers": 10**30}, "`trainable_layers` .* at most 100,000"),
    "many views": ({"distil_views": 10**30}, "`distil_views` .* at most 1,000"),
    "temperature above 1000": ({"distil_temperature": 1e9}, "`distil_temperature` .* at most 1,000"),
    "rotation above 180": ({"augment": {"rotation": 1e9}}, "augment.rotation .* at most 180"),
    "shift above 1": ({"augment": {"shift": 1e9}}, "augment.shift is .* from 0 to 1"),
    "noise not a number": ({"augment": {"noise": float("nan")}}, "augment.noise is nan: expected"),
    "low light above 10": ({"augment": {"low_light": float("inf")}}, "augment.low_light .* at most 10"),
    "probability above 1": ({"augment": {"mixup": 1.1}}, "from 0 to 1"),
}


@pytest.mark.parametrize(("values", "message"), INVALID.values(), ids=INVALID.keys())
def test_invalid_settings_are_rejected(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        FitConfig.from_mapping(values)
    assert caught.value.exit_code == 2
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


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


def test_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"\xef\xbb\xbfepochs = 7\r\n[augment]\r\nflip = false\r\n")
    config = load_config(tmp_path / "config.toml")
    assert (config.epochs, config.augment.flip) == (7, False)


def test_replace_ignores_none() -> None:
    assert FitConfig(epochs=7).replace(epochs=None, seed=3) == FitConfig(epochs=7, seed=3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"epochs = ", "not valid TOML"),
        (b"\xff\xfe", "not valid TOML"),
        ("epochs = 3".encode("utf-16"), "is UTF-16; save it as UTF-8"),
        (b"epochs = " + b"[" * 20_000, "nested too deeply"),
        (b"epochs = " + b"9" * 5000, "not valid TOML"),
        (b"#" * 100_000, "larger than 64 kB"),
        (None, "cannot read"),
    ],
    ids=["broken", "not text", "UTF-16", "deep", "long integer", "large", "missing"],
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


def test_head_phase_counts_only_with_two_phases() -> None:
    assert FitConfig(epochs=1, head_epochs=2).head_phase == 0
    assert FitConfig(epochs=3, head_epochs=2, phases="two-phase").head_phase == 2
