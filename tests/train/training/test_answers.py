from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.expression.probabilities import softmax
from edgeinfer_train.config import FitConfig
from edgeinfer_train.datasets.answers import Answers
from edgeinfer_train.datasets.load import Faces, load_split, read_info
from edgeinfer_train.errors import ConfigError, DataError
from edgeinfer_train.networks.model import load_model, save_model
from edgeinfer_train.training.answers import ask_teachers
from edgeinfer_train.training.data import load_training_data
from edgeinfer_train.training.run_folder import create_run_folder

LABELS = ("neutral", "happy")


def make_answers(names: tuple[str, ...], labels: tuple[str, ...] = LABELS) -> Answers:
    """Return answers that are the more certain of the second label, the later the face."""
    second = np.linspace(0.1, 0.9, len(names))
    return Answers(labels, names, np.stack([1 - second, second], axis=1).astype(np.float16))


def make_faces(names: tuple[str, ...]) -> Faces:
    shares = np.tile(np.array([1, 0], np.float32), (len(names), 1))
    return Faces(np.zeros((len(names), 48, 48, 1), np.uint8), np.zeros(len(names), np.int64), shares, names)


def test_answers_survive_the_file(tmp_path: Path) -> None:
    answers = make_answers(("train/neutral/ä b.png", "train/happy/c.png"), ("neutral", "glücklich"))
    answers.save(tmp_path / "a.npz")
    again = Answers.load(tmp_path / "a.npz")
    assert (again.labels, again.names) == (answers.labels, answers.names)
    np.testing.assert_array_equal(again.probabilities, answers.probabilities)


def test_targets_are_the_weighted_mean_of_labels_and_answers_by_name() -> None:
    faces, answers = make_faces(("a", "b", "c")), make_answers(("c", "x", "b", "a"), ("happy", "neutral"))
    blended = answers.blend(faces, LABELS, 0.75)
    expected = [0.25 + 0.75 * share for share in (0.9, 0.1 + 0.8 * 2 / 3, 0.1)]
    np.testing.assert_allclose(blended.soft_labels[:, 0], expected, atol=2e-3)
    np.testing.assert_allclose(blended.soft_labels.sum(axis=1), 1.0, atol=1e-6)
    np.testing.assert_array_equal(answers.blend(faces, LABELS, 0.0).soft_labels, faces.soft_labels)


@pytest.mark.parametrize(
    ("names", "labels", "message"),
    [
        (("a",), LABELS, "`answers` lacks 1 of 2 training faces, such as b: write it again"),
        (("a", "b"), ("neutral", "sad"), "`answers` has the labels neutral sad, but the data have neutral happy"),
    ],
)
def test_answers_for_other_data_are_rejected(names: tuple[str, ...], labels: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        make_answers(names, labels).blend(make_faces(("a", "b")), LABELS, 0.5)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"text", None], ids=["empty", "zip", "text", "missing"])
def test_unreadable_answers_are_rejected(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz"):
        Answers.load(tmp_path / "a.npz")


@pytest.mark.parametrize("damage", ["no labels", "other shape", "not finite"])
def test_damaged_answers_are_rejected(tmp_path: Path, damage: str) -> None:
    arrays: dict[str, Any] = {
        "labels": np.array(LABELS), "names": np.array(["a", "b"]), "probabilities": np.full((2, 2), 0.5, np.float16),
    }  # fmt: skip
    if damage == "no labels":
        del arrays["labels"]
    else:
        arrays["probabilities"] = np.full((2, 3), 0.3) if damage == "other shape" else np.full((2, 2), np.nan)
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match="edgeinfer-train answers"):
        Answers.load(tmp_path / "a.npz")


def test_answers_are_the_mean_over_teachers_and_mirror_images(toy_run: Path, toy_data: Path) -> None:
    faces = load_split(toy_data, "train")
    core, _ = load_model(toy_run / "model.keras")
    sides = (faces.images, faces.images[:, :, ::-1])
    expected = np.mean([softmax(np.asarray(core.predict(side, verbose=0))) for side in sides], axis=0)
    notes: list[str] = []
    teachers = [toy_run, toy_run / "model.keras"]
    found = ask_teachers(toy_data, teachers, copies=1, precision="float32", on_teacher=notes.append)
    order = [found.names.index(name) for name in faces.names]
    np.testing.assert_allclose(found.probabilities[order], expected, atol=2e-3)
    assert len(notes) == 2
    assert f"answered {len(faces)} faces" in notes[0]
    moved = ask_teachers(toy_data, [toy_run], copies=3, precision="float32")
    assert (moved.probabilities != found.probabilities).any()
    again = ask_teachers(toy_data, [toy_run], copies=3, precision="float32")
    np.testing.assert_array_equal(moved.probabilities, again.probabilities)


def test_teachers_with_other_labels_are_rejected(
    tmp_path: Path, toy_run: Path, make_toy_data: Callable[..., Path]
) -> None:
    data = make_toy_data(tmp_path / "data", train=4, valid=2, labels=("neutral", "sad"))
    with pytest.raises(DataError, match="has the labels neutral happy, but the data have neutral sad"):
        ask_teachers(data, [toy_run])


def test_folds_cover_all_training_faces_once(toy_data: Path, toy_config: FitConfig) -> None:
    info, config = read_info(toy_data), replace(toy_config, image_size=48, label_mode="argmax")
    whole = load_training_data(toy_data, info, config)
    parts = [load_training_data(toy_data, info, replace(config, leave_out=f"{fold}/3")) for fold in (1, 2, 3)]
    assert sorted(name for part in parts for name in part.left_out) == sorted(whole.train.names)
    for part in parts:
        assert set(part.train.names) == set(whole.train.names) - set(part.left_out)
        assert part.valid.names == whole.valid.names


def test_copies_of_a_face_are_in_one_fold(tmp_path: Path, make_toy_data: Callable[..., Path]) -> None:
    data = make_toy_data(tmp_path / "data", train=20, valid=4)
    for path in list((data / "train").glob("*/*.png")):
        (path.parent / f"copy-{path.name}").write_bytes(path.read_bytes())
    config = FitConfig(width=0.25, image_size=48, label_mode="argmax", leave_out="1/4")
    names = {Path(name).name for name in load_training_data(data, read_info(data), config).left_out}
    assert 0 < len(names) < 40
    assert {f"copy-{name}" for name in names if not name.startswith("copy-")} == {n for n in names if n[:5] == "copy-"}


@pytest.fixture(scope="module")
def fold_runs(tmp_path_factory: pytest.TempPathFactory, toy_run: Path, toy_data: Path, toy_config: FitConfig) -> Path:
    """Folder of the runs `1` and `2`, teachers of two folds; the first one has swapped its answers."""
    folder, info = tmp_path_factory.mktemp("folds"), read_info(toy_data)
    core, saved = load_model(toy_run / "model.keras")
    head = core.layers[-1]
    for fold in (1, 2):
        head.set_weights([-weights for weights in head.get_weights()])
        config = replace(toy_config, image_size=48, label_mode="argmax", leave_out=f"{fold}/2")
        create_run_folder(folder / str(fold), config, load_training_data(toy_data, info, config))
        save_model(core, replace(saved, settings=config.to_mapping()), folder / str(fold) / "model.keras")
    return folder


@pytest.mark.parametrize("form", ["", "model.keras"], ids=["run", "file"])
def test_teachers_of_folds_answer_only_unseen_faces(fold_runs: Path, toy_data: Path, form: str) -> None:
    runs = [fold_runs / fold / form for fold in ("1", "2")]
    found = ask_teachers(toy_data, runs, copies=1, precision="float32")
    right = found.probabilities.argmax(axis=1) == [LABELS.index(name.split("/")[1]) for name in found.names]
    with (fold_runs / "1" / "left-out.csv").open(encoding="utf-8", newline="") as file:
        swapped = {row["file"] for row in csv.DictReader(file)}
    assert 0 < len(swapped) < len(found.names)
    np.testing.assert_array_equal(right, [name not in swapped for name in found.names])
    with pytest.raises(DataError, match="training faces have no teacher: add those of the other folds"):
        ask_teachers(toy_data, runs[:1])


def test_teacher_of_a_fold_without_its_list_is_rejected(fold_runs: Path, toy_data: Path, tmp_path: Path) -> None:
    shutil.copy(fold_runs / "1" / "model.keras", tmp_path)
    with pytest.raises(DataError, match=r"left-out\.csv, which lists them, is missing: name the run folder"):
        ask_teachers(toy_data, [tmp_path / "model.keras"])


def test_teacher_of_a_fold_of_other_data_is_rejected(
    fold_runs: Path, make_toy_data: Callable[..., Path], tmp_path: Path
) -> None:
    data = make_toy_data(tmp_path / "data", train=4, valid=2)
    for path in list((data / "train").glob("*/*.png")):
        path.rename(path.with_stem(f"other-{path.stem}"))
    with pytest.raises(DataError, match=r"left out \d+ faces, none of which is in"):
        ask_teachers(data, [fold_runs / "1"])


@pytest.mark.parametrize("text", ["0/5", "6/5", "1/1", "2", "a/b", "1/5/2", "-1/5"])
def test_invalid_folds_are_rejected(text: str) -> None:
    with pytest.raises(ConfigError, match=r"`leave_out` is .*: expected a fold such as 2/5"):
        FitConfig(leave_out=text)


def test_answers_exclude_teachers() -> None:
    with pytest.raises(ConfigError, match="`answers` replaces the teachers"):
        FitConfig(answers="a.npz", teachers=("run",))


def test_answers_become_the_targets_of_a_run(tmp_path: Path, toy_data: Path, toy_config: FitConfig) -> None:
    faces = load_split(toy_data, "train")
    make_answers(faces.names).save(tmp_path / "a.npz")
    config = replace(toy_config, image_size=48, label_mode="argmax", answers=str(tmp_path / "a.npz"), distil_weight=0.6)
    found = load_training_data(toy_data, read_info(toy_data), config).train
    expected = make_answers(faces.names).blend(faces, LABELS, 0.6)
    np.testing.assert_array_equal(found.soft_labels, expected.soft_labels)
    np.testing.assert_array_equal(found.labels, faces.labels)


def test_answers_command_writes_a_file_and_checks_its_arguments(
    tmp_path: Path, toy_data: Path, toy_run: Path, command: Callable[..., Any]
) -> None:
    done = command("answers", toy_data, toy_run, "--out", tmp_path / "a.npz", "--copies", 1)
    assert done.code == 0, done.err
    assert done.out == f"96 faces, 2 labels: {tmp_path / 'a.npz'}\n"
    assert Answers.load(tmp_path / "a.npz").labels == LABELS
    refused = command("answers", toy_data, toy_run, "--out", tmp_path / "a.csv")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "--out" in refused.err
    missing = command("answers", toy_data, tmp_path / "none", "--out", tmp_path / "a.npz")
    assert missing.code == 5
