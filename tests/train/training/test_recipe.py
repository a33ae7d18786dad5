from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from edgeinfer_train.config import FitConfig
from edgeinfer_train.datasets.load import DatasetInfo
from edgeinfer_train.training.recipe import choose_settings
from edgeinfer_train.training.run_folder import resolve_config

BUNDLED = {"weights": "bundled"}


@pytest.fixture
def settings_for(tmp_path: Path) -> Callable[[Mapping[str, int], dict[str, Any]], FitConfig]:
    """Return a function that chooses the settings for a data folder with empty files, by their number per label."""

    def choose(counts: Mapping[str, int], given: dict[str, Any]) -> FitConfig:
        data = tmp_path / "data"
        for label, count in counts.items():
            folder = data / "train" / label
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number}.png").touch()
        info = {"name": "mine", "labels": list(counts), "label_mode": "by hand", "complete": True}
        (data / "dataset.json").write_text(json.dumps(info))
        return choose_settings(data, given)

    return choose


CASES: dict[str, tuple[dict[str, int], dict[str, Any], dict[str, Any]]] = {
    "few faces": ({"a": 100, "b": 100}, BUNDLED, {"recipe": "small", "folds": 3, "class_weights": "none"}),
    "hundreds": ({"a": 400, "b": 400}, BUNDLED, {"recipe": "small", "folds": 0, "patience": 6}),
    "a rare label": ({"a": 400, "b": 60}, BUNDLED, {"recipe": "small", "class_weights": "sqrt"}),
    "many faces": ({"a": 3000, "b": 2000}, BUNDLED, {"recipe": "full", "learning_rate": 0.02}),
    "no trained model": ({"a": 100, "b": 100}, {}, {"recipe": "full", "learning_rate": 0.08, "folds": 0}),
    "limit": ({"a": 3000, "b": 2000}, {**BUNDLED, "limit": 200}, {"recipe": "small", "folds": 3}),
    "explicit recipe": ({"a": 100, "b": 100}, {**BUNDLED, "recipe": "full"}, {"recipe": "full", "folds": 0}),
    "explicit settings": (
        {"a": 100, "b": 10}, {**BUNDLED, "epochs": 40, "folds": 0, "class_weights": "none", "augment": {"blur": 0.0}},
        {"recipe": "small", "epochs": 40, "folds": 0, "class_weights": "none"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("counts", "given", "expected"), CASES.values(), ids=CASES.keys())
def test_settings_suit_the_number_of_faces(
    settings_for: Callable[..., FitConfig], counts: dict[str, int], given: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = settings_for(counts, given).to_mapping()
    assert {name: found[name] for name in expected} == expected
    assert found["augment"]["blur"] == given.get("augment", {}).get("blur", 0.3 if found["recipe"] == "small" else 0.5)


@pytest.mark.parametrize(
    ("given", "size", "expected"),
    [
        pytest.param({}, None, 48, id="backbone"),
        pytest.param({}, 64, 64, id="data"),
        pytest.param({"image_size": 40}, 64, 40, id="setting"),
        pytest.param({"backbone": "xception"}, 64, 71, id="minimum of the backbone"),
    ],
)
def test_image_size_is_that_of_the_data(given: dict[str, Any], size: int | None, expected: int) -> None:
    info = DatasetInfo("Toy", ("happy", "sad"), "by brightness", size=size)
    assert resolve_config(FitConfig.from_mapping(given), info).image_size == expected
