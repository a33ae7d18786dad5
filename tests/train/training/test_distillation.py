from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer.errors import ModelError, ModelNotFoundError
from edgeinfer.expression.probabilities import softmax
from edgeinfer_train.config import FitConfig
from edgeinfer_train.datasets.load import Faces
from edgeinfer_train.errors import DataError
from edgeinfer_train.networks.model import ModelInfo, build_core, save_model
from edgeinfer_train.training.distillation import DistillationModel, Teachers, TeacherViews
from edgeinfer_train.training.fit import fit
from edgeinfer_train.training.optimizers import training_phases
from edgeinfer_train.training.student import Student

LABELS = ("neutral", "happy")
Logits = NDArray[np.float64]


def save_teacher(path: Path, *, seed: int, image_size: int = 48, labels: tuple[str, ...] = LABELS) -> keras.Model:
    """Save a network with random weights and return it."""
    keras.utils.set_random_seed(seed)
    core = build_core("edgenet", len(labels), width=0.25, image_size=image_size)
    save_model(core, ModelInfo("edgenet", labels, "Toy", "made up", dict.fromkeys(labels, 0.5), {}), path)
    return core


def logits_of(core: keras.Model, images: NDArray[np.uint8]) -> Logits:
    return np.asarray(core(images), dtype=np.float64)


def test_teacher_probabilities_are_softened_and_averaged(tmp_path: Path, grey_faces: NDArray[np.uint8]) -> None:
    paths = [tmp_path / "a.keras", tmp_path / "b.keras"]
    cores = [save_teacher(path, seed=seed) for seed, path in enumerate(paths)]
    for temperature in (1.0, 5.0):
        expected = sum(softmax(logits_of(core, grey_faces) / temperature) for core in cores) / 2
        found = Teachers([str(path) for path in paths], LABELS)(grey_faces.astype(np.float32), temperature)
        np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-4)
    one = Teachers([str(paths[0])], LABELS)(grey_faces.astype(np.float32), 5.0)
    assert np.abs(np.asarray(one) - expected).max() > 1e-3


def test_faces_are_resized_for_each_teacher(tmp_path: Path, grey_faces: NDArray[np.uint8]) -> None:
    core = save_teacher(tmp_path / "wide.keras", seed=1, image_size=64)
    images = grey_faces.astype(np.float32)
    expected = softmax(logits_of(core, np.asarray(keras.ops.image.resize(images, (64, 64)))))
    found = np.asarray(Teachers([str(tmp_path / "wide.keras")], LABELS)(images, 1.0))
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_distillation_loss_matches_hinton_et_al(tmp_path: Path, grey_faces: NDArray[np.uint8]) -> None:
    teacher, core = save_teacher(tmp_path / "a.keras", seed=1), save_teacher(tmp_path / "b.keras", seed=2)
    layer = DistillationModel(core, Teachers([str(tmp_path / "a.keras")], LABELS), temperature=3.0, weight=0.25)
    logits = np.asarray(layer(grey_faces.astype(np.float32), training=True), dtype=np.float64)
    wanted, given = softmax(logits_of(teacher, grey_faces) / 3), softmax(logits / 3)
    expected = 0.25 * 9 * (wanted * np.log(wanted / given)).sum(axis=1).mean()
    assert expected > 1e-3
    assert float(layer.losses[0]) == pytest.approx(expected, rel=1e-3)


@pytest.mark.usefixtures("eager")
@pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")
def test_label_loss_has_the_remaining_weight(
    toy_run: Path, toy_config: FitConfig, grey_faces: NDArray[np.uint8]
) -> None:
    labels, losses = np.tile(np.array([1, 0], np.float32), (len(grey_faces), 1)), []
    for weight in (0.0, 0.25):
        config = replace(toy_config, image_size=48, teachers=(str(toy_run),), distil_weight=weight)
        student = Student(config, LABELS, load_weights=False)
        student.start_phase(training_phases(config)[0], config, steps=1)
        losses.append(student.model.test_on_batch(grey_faces, labels)[0])
    assert losses[1] == pytest.approx(0.75 * losses[0], rel=1e-5)


def test_no_distillation_outside_training(tmp_path: Path, grey_faces: NDArray[np.uint8]) -> None:
    core = save_teacher(tmp_path / "a.keras", seed=1)
    layer = DistillationModel(core, Teachers([str(tmp_path / "a.keras")], LABELS), temperature=3.0, weight=0.25)
    np.testing.assert_array_equal(np.asarray(layer(grey_faces)), logits_of(core, grey_faces))
    assert layer.losses == []


def test_training_state_contains_no_teacher(tmp_path: Path) -> None:
    core = save_teacher(tmp_path / "a.keras", seed=1)
    layer = DistillationModel(core, Teachers([str(tmp_path / "a.keras")], LABELS), temperature=3.0, weight=0.25)
    assert len(layer.variables) == len(core.variables)


def test_views_are_created_once_and_reused_in_turn(tmp_path: Path, grey_faces: NDArray[np.uint8]) -> None:
    core, count = save_teacher(tmp_path / "a.keras", seed=1), len(grey_faces)
    shares = np.tile(np.array([1, 0], np.float32), (count, 1))
    faces = Faces(grey_faces, np.zeros(count, np.int64), shares, ("x",) * count)
    config = FitConfig(teachers=("a",), distil_temperature=1.0, distil_views=2, distil_weight=0.25, batch_size=3)
    views = TeacherViews(tmp_path / "views", faces, Teachers([str(tmp_path / "a.keras")], LABELS), config)
    first, second, third = (views.for_epoch(epoch) for epoch in range(3))
    assert len(list((tmp_path / "views").iterdir())) == 4
    np.testing.assert_array_equal(first.images, third.images)
    assert (first.images != second.images).any()
    assert (first.images != grey_faces).any()
    seen = np.asarray(first.images)
    both_sides = softmax(logits_of(core, seen)) + softmax(logits_of(core, seen[:, :, ::-1]))
    expected = 0.75 * shares + 0.25 * both_sides / 2
    np.testing.assert_allclose(first.soft_labels, expected, atol=0.01)  # the teacher input was not rounded
    (tmp_path / "views" / "view-000-labels.npy").unlink()
    again = TeacherViews(tmp_path / "views", faces, Teachers([str(tmp_path / "a.keras")], LABELS), config).for_epoch(2)
    np.testing.assert_array_equal(again.images, first.images)
    np.testing.assert_array_equal(again.soft_labels, first.soft_labels)


@pytest.mark.parametrize("views", [0, 2], ids=["in-each-step", "two-views"])
def test_teacher_replaces_the_labels_at_full_weight(
    tmp_path: Path, toy_run: Path, toy_config: FitConfig, make_toy_data: Callable[..., Path], views: int
) -> None:
    """Use a teacher that was trained with swapped labels."""
    data = make_toy_data(tmp_path / "data", labels=("happy", "neutral"))
    text = (data / "dataset.json").read_text().replace('["happy", "neutral"]', '["neutral", "happy"]')
    (data / "dataset.json").write_text(text)
    config = replace(
        toy_config, teachers=(str(toy_run),), distil_weight=1.0, distil_temperature=1.0 if views else 2.0,
        distil_views=views,
    )  # fmt: skip
    rows = fit(data, tmp_path / "run", config)
    assert not (tmp_path / "run" / "views").exists()
    assert rows[-1]["val_accuracy"] < 0.1


def test_invalid_teachers_are_rejected(tmp_path: Path, toy_data: Path, toy_config: FitConfig) -> None:
    save_teacher(tmp_path / "seven.keras", seed=0, labels=tuple("abcdefg"))
    for name, error, message in (
        ("model.onnx", ModelError, "cannot be used as a teacher: expected a run folder or a .keras file"),
        ("lost.keras", ModelNotFoundError, "no model at"),
        ("seven.keras", DataError, "has the labels a b c d e f g, but the data have neutral happy"),
    ):
        with pytest.raises(error, match=message):
            fit(toy_data, tmp_path / "run", replace(toy_config, teachers=(str(tmp_path / name),)))
    assert not (tmp_path / "run").exists()
