"""Fine-tuning from a trained model, with few faces and without tf.function."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeinfer_train.augmentation import AugmentConfig
from edgeinfer_train.config import FitConfig
from edgeinfer_train.datasets.load import read_info
from edgeinfer_train.errors import ConfigError
from edgeinfer_train.evaluation.evaluate import evaluate
from edgeinfer_train.networks.model import load_model
from edgeinfer_train.training import fit as training
from edgeinfer_train.training.data import load_training_data
from edgeinfer_train.training.fit import fit
from edgeinfer_train.training.selection import Selection

pytestmark = pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")

LIGHT = AugmentConfig(
    rotation=0.0, zoom=0.0, shift=0.0, shear=0.0, contrast=0.1, blur=0.0, noise=0.0, erasing=0.0, mixup=0.0
)


@pytest.fixture
def small_config(toy_run: Path) -> FitConfig:
    return FitConfig(
        weights=str(toy_run), recipe="small", epochs=2, batch_size=8, learning_rate=0.005, warmup_epochs=0.0,
        ema_momentum=0.0, monitor="val_loss", dropout=0.0, precision="float32", augment=LIGHT,
    )  # fmt: skip


@pytest.fixture
def without_plots(monkeypatch: pytest.MonkeyPatch, eager: None) -> None:
    monkeypatch.setattr(training, "finish_run", lambda *_, **__: None)


def test_run_with_permuted_labels_keeps_the_head_and_reports_baselines(
    tmp_path: Path, make_toy_data: Callable[..., Path], toy_run: Path, small_config: FitConfig, eager: None
) -> None:
    data = make_toy_data(tmp_path / "data", train=16, valid=8)
    info = json.loads((data / "dataset.json").read_text())
    (data / "dataset.json").write_text(json.dumps({**info, "labels": ["happy", "neutral"]}))
    notes: list[str] = []
    fit(data, tmp_path / "run", replace(small_config, folds=2), notify=notes.append)
    assert notes[0] == "recipe for small sets: 16 training faces, class weights none, 2-fold cross-validation"
    assert "starts from model.keras: the edgenet network (width 0.25, 48x48) and the head for all 2 labels" in notes
    assert notes[-1].startswith("keeps the ")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    baselines = {entry["name"]: entry for entry in metrics["baselines"]}
    assert list(baselines) == ["constant", "start", "bundled"]
    assert metrics["folds"] == 2
    assert [baselines[name]["count"] for name in baselines] == [24, 24, 8]
    assert baselines["constant"]["accuracy"] == 0.5
    assert baselines["start"]["accuracy"] == evaluate(toy_run, data, split="valid").metrics.accuracy == 1.0
    assert evaluate(tmp_path / "run", data, split="valid").metrics.accuracy == 1.0


@pytest.mark.usefixtures("without_plots")
def test_start_is_kept_if_training_harms_unless_a_share_is_set(
    tmp_path: Path, make_toy_data: Callable[..., Path], toy_run: Path, small_config: FitConfig
) -> None:
    """Exchange the training labels only, so that every step makes the network worse on the validation faces."""
    data = make_toy_data(tmp_path / "data", train=16, valid=8)
    for one, other in (("neutral", "swap"), ("happy", "neutral"), ("swap", "happy")):
        shutil.move(data / "train" / one, data / "train" / other)
    notes: list[str] = []
    weights = [load_model(toy_run / "model.keras")[0].get_weights()]
    for share in (0.0, 0.25, 1.0):
        config = replace(small_config, learning_rate=0.5, trainable_layers=0, kept_share=share)
        fit(data, tmp_path / str(share), config, notify=notes.append)
        weights.append(load_model(tmp_path / str(share) / "model.keras")[0].get_weights())
    assert [note for note in notes if note.startswith("keeps")] == [
        "keeps the start: nothing was better on the validation faces",
        "keeps the average of start and trained network, 25% trained",
        "keeps the trained network",
    ]
    for start, kept, quarter, end in zip(*weights, strict=True):
        np.testing.assert_array_equal(kept, start)
        np.testing.assert_allclose(quarter, start + 0.25 * (end - start), atol=1e-5)
    for start, end in zip(weights[0][-2:], weights[-1][-2:], strict=True):  # the head
        assert np.abs(end - start).max() > 0.01


@pytest.mark.usefixtures("without_plots")
def test_new_labels_and_interrupted_runs(
    tmp_path: Path, make_toy_data: Callable[..., Path], small_config: FitConfig
) -> None:
    data = make_toy_data(tmp_path / "data", train=16, valid=8, labels=("müde", "wide awake"))

    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    config, notes = replace(small_config, folds=2), list[str]()
    with pytest.raises(KeyboardInterrupt):
        fit(data, tmp_path / "run", config, on_epoch=interrupt, notify=notes.append)
    rows = fit(data, tmp_path / "run", config, resume=True, notify=notes.append)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert notes.count("cross-validation: fold 2 of 2") == 1
    selection = Selection.load(tmp_path / "run" / "state")
    assert selection is not None
    assert (selection.folds, len(selection.labels)) == (2, 24), "a resumed run keeps its cross-validation"
    model = (tmp_path / "run" / "model.keras").read_bytes()
    fit(data, tmp_path / "run", config, resume=True)
    assert (tmp_path / "run" / "model.keras").read_bytes() == model, "a finished run must not be blended again"
    assert evaluate(tmp_path / "run", data, split="valid").metrics.accuracy == 1.0
    assert load_model(tmp_path / "run" / "model.keras")[1].labels == ("müde", "wide awake")


def test_recipe_without_a_trained_model_is_rejected(tmp_path: Path, toy_data: Path, small_config: FitConfig) -> None:
    with pytest.raises(ConfigError, match="`recipe` is small"):
        fit(toy_data, tmp_path / "run", replace(small_config, weights="none"))


def rename_by_person(data: Path, persons: int) -> None:
    """Give each face a name with one of a few persons, so that both splits contain all of them."""
    for number, path in enumerate(sorted(data.glob("*/*/*.png"))):
        path.rename(path.with_name(f"p{number // 2 % persons}_{path.name}"))


def test_persons_are_split_again_and_the_model_remembers_its_validation_faces(
    tmp_path: Path, make_toy_data: Callable[..., Path], small_config: FitConfig
) -> None:
    data = make_toy_data(tmp_path / "data", train=64, valid=16)
    rename_by_person(data, 5)
    found = load_training_data(data, read_info(data), replace(small_config, image_size=48, folds=2))
    sides = [{name.split("/")[-1].split("_")[0] for name in faces.names} for faces in (found.train, found.valid)]
    assert not sides[0] & sides[1]
    assert len(found.train) + len(found.valid) == 80
    assert found.held_out == found.valid.names
    assert found.folds is not None
    for person in sides[0]:
        assert (
            len({fold for fold, name in zip(found.folds, found.train.names, strict=True) if f"/{person}_" in name}) == 1
        )
    assert found.notes == (
        f"5 persons by file name: split again, with {len(found.valid)} faces for validation, listed in held-out.csv",
    )


def test_persons_of_the_table_are_on_one_side(
    tmp_path: Path, make_toy_data: Callable[..., Path], small_config: FitConfig
) -> None:
    """Use a table of persons in both splits, and one face without a person."""
    data = make_toy_data(tmp_path / "data", train=64, valid=16)
    names = [path.relative_to(data).as_posix() for path in sorted(data.glob("*/*/*.png"))]
    persons = {name: f"person {number % 5}" for number, name in enumerate(names[1:])}
    rows = ["file,person,valence", f"{names[0]},,0.5", *(f"{name},{person}," for name, person in persons.items())]
    (data / "faces.csv").write_text("\n".join(rows) + "\n")
    found = load_training_data(data, read_info(data), replace(small_config, image_size=48))
    assert found.notes[0].startswith("6 persons by the data set's table: split again, with ")
    sides = [{persons.get(name, name) for name in faces.names} for faces in (found.train, found.valid)]
    assert not sides[0] & sides[1]


@pytest.mark.usefixtures("without_plots")
def test_split_of_the_run_is_measured_by_evaluate(
    tmp_path: Path, make_toy_data: Callable[..., Path], small_config: FitConfig
) -> None:
    data = make_toy_data(tmp_path / "data", train=24, valid=8)
    rename_by_person(data, 4)
    fit(data, tmp_path / "run", replace(small_config, epochs=1))
    listed = (tmp_path / "run" / "held-out.csv").read_text().splitlines()[1:]
    assert load_model(tmp_path / "run" / "model.keras")[1].held_out == tuple(listed)
    assert any(name.startswith("train/") for name in listed)
    assert evaluate(tmp_path / "run", data, split="valid").metrics.count == len(listed)


def test_few_shared_faces_are_excluded_from_training(
    tmp_path: Path, make_toy_data: Callable[..., Path], small_config: FitConfig
) -> None:
    data = make_toy_data(tmp_path / "data", train=24, valid=8)
    shutil.copy(data / "valid" / "happy" / "0001.png", data / "train" / "happy" / "copy.png")
    near = data / "train" / "happy" / "copy.png"
    image = cv2.imread(str(near), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    assert cv2.imwrite(str(near), (0.9 * image + 5).astype(np.uint8))
    found = load_training_data(data, read_info(data), replace(small_config, image_size=48))
    assert "train/happy/copy.png" not in found.train.names
    assert found.held_out == ()


def test_root_of_the_frequency_weights_rare_labels_less_than_balanced(
    tmp_path: Path, make_toy_data: Callable[..., Path], small_config: FitConfig
) -> None:
    data = make_toy_data(tmp_path / "data", train=24, valid=8)
    for face in sorted((data / "train" / "happy").iterdir())[3:]:
        face.unlink()
    found = load_training_data(data, read_info(data), replace(small_config, image_size=48, recipe="full"))
    weights = found.class_weights(replace(small_config, class_weights="sqrt"))
    assert weights is not None
    assert weights[1] / weights[0] == pytest.approx(2.0)
    assert (12 * weights[0] + 3 * weights[1]) / 15 == pytest.approx(1.0)
