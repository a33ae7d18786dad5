from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer_train.config import FitConfig
from edgeinfer_train.evaluate import evaluate
from edgeinfer_train.model import load_model
from edgeinfer_train.report import missing_files


def test_metrics_tell_the_whole_story(toy_run: Path, toy_data: Path, toy_config: FitConfig) -> None:
    values = json.loads((toy_run / "metrics.json").read_text())
    assert values["dataset"] == "Toy"
    assert values["label_mode"] == "by brightness"
    assert values["labels"] == ["neutral", "happy"]
    assert values["faces"] == {"train": 96, "valid": 48}
    assert (values["seed"], values["backbone"], values["epochs"]) == (0, "edgenet", toy_config.epochs)
    assert 1 <= values["best_epoch"] <= toy_config.epochs
    assert values["parameters"] == load_model(toy_run / "model.keras")[0].count_params()
    assert values["versions"].keys() == {"python", "backend", "edgeinfer", "keras", "tensorflow", "numpy"}
    measured = evaluate(toy_run, toy_data, split="valid").to_mapping()
    assert {**values["validation"], "model": None} == {**json.loads(json.dumps(measured)), "model": None}


@pytest.mark.parametrize("name", ["curves.png", "confusion.png"])
def test_pictures_are_drawn(toy_run: Path, name: str) -> None:
    picture = cv2.imread(str(toy_run / name))
    assert picture is not None
    assert min(picture.shape[:2]) > 400
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50


def test_missing_files_are_found(tmp_path: Path, toy_run: Path) -> None:
    assert missing_files(toy_run) == ()
    (tmp_path / "model.keras").write_bytes(b"")
    assert missing_files(tmp_path) == (
        "model.weights.h5", "history.csv", "metrics.json", "curves.png", "confusion.png",
    )  # fmt: skip
