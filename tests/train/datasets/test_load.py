from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer_train.datasets.load import load_split, present_splits, read_info
from edgeinfer_train.datasets.votes import has_majority, vote_distribution
from edgeinfer_train.errors import DataError
from edgeinfer_train.labels import EIGHT_LABELS, VOTE_COLUMNS, LabelMode, label_of


@pytest.fixture
def data(tmp_path: Path, make_toy_data: Callable[..., Path]) -> Path:
    return make_toy_data(tmp_path / "data", train=8, valid=4)


def test_split_is_loaded(data: Path) -> None:
    faces = load_split(data, "train")
    assert faces.images.shape == (8, 48, 48, 1)
    assert faces.images.dtype == np.uint8
    assert faces.labels.tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert list(faces.names) == sorted(faces.names)
    np.testing.assert_array_equal(faces.soft_labels, np.eye(2)[faces.labels])


def test_faces_are_resized_and_converted(data: Path) -> None:
    faces = load_split(data, "valid", size_hw=(20, 30), colour="rgb")
    assert faces.images.shape == (4, 20, 30, 3)


def test_limit_is_spread_evenly_over_labels(data: Path) -> None:
    assert np.bincount(load_split(data, "train", limit=4).labels).tolist() == [2, 2]


def test_seed_selects_other_faces(data: Path) -> None:
    first, again, other = (load_split(data, "train", limit=3, seed=seed).names for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert len(set(other)) == 3


def test_labels_can_be_selected_and_reordered(data: Path) -> None:
    faces = load_split(data, "train", labels=("happy",))
    assert len(faces) == 4
    assert {name.split("/")[1] for name in faces.names} == {"happy"}
    assert faces.soft_labels.shape == (4, 1)
    swapped, plain = load_split(data, "train", labels=("happy", "neutral")), load_split(data, "train")
    assert swapped.names == plain.names
    np.testing.assert_array_equal(swapped.labels, 1 - plain.labels)
    with pytest.raises(DataError, match="has the labels neutral happy, not fear"):
        load_split(data, "train", labels=("happy", "fear"))


def test_training_split_excludes_copies_of_held_out_faces(data: Path) -> None:
    """Use copies with a different name, label and encoding."""
    held_out = sorted((data / "valid/happy").iterdir())[0]
    picture = cv2.imread(str(held_out), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    cv2.imwrite(str(data / "train/neutral/copy.bmp"), picture)
    shutil.copy(held_out, data / "train/happy/copy.png")
    faces = load_split(data, "train")
    assert len(faces) == 8
    assert not any("copy" in name for name in faces.names)
    assert len(load_split(data, "valid")) == 4


def test_take_selects_faces_by_position(data: Path) -> None:
    faces = load_split(data, "train")
    some = faces.take(np.array([6, 1]))
    assert some.names == (faces.names[6], faces.names[1])
    np.testing.assert_array_equal(some.images[0], faces.images[6])


def test_training_split_consisting_of_copies_is_rejected(data: Path) -> None:
    shutil.rmtree(data / "train")
    shutil.copytree(data / "valid", data / "train")
    with pytest.raises(DataError, match="copy of a validation or test face"):
        load_split(data, "train")


def test_existing_splits_are_listed(data: Path) -> None:
    assert present_splits(data, ("neutral", "happy")) == ("train", "valid")
    with pytest.raises(DataError, match="no test faces; splits with faces: train, valid"):
        load_split(data, "test")


def test_unreadable_image_is_named_in_the_error(data: Path) -> None:
    (data / "valid/happy/zz.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"zz\.png is not a readable image"):
        load_split(data, "valid")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no dataset.json"),
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"complete": true}', "damaged"),
        (json.dumps({"name": "x", "labels": ["a"], "label_mode": "m", "complete": False}), "interrupted"),
        (
            json.dumps(
                {"name": "x", "labels": ["a"], "label_mode": "m", "complete": True, "default_label_mode": "mean"}
            ),
            "damaged",
        ),
    ],
    ids=["missing", "broken", "not an object", "no labels", "interrupted", "unknown mode"],
)
def test_unprepared_folders_are_rejected(data: Path, content: str | None, message: str) -> None:
    (data / "dataset.json").unlink()
    if content is not None:
        (data / "dataset.json").write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        read_info(data)
    assert caught.value.exit_code == 4


def test_missing_folder_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_info(tmp_path / "nowhere")


def test_file_in_place_of_a_folder_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "faces.zip").touch()
    with pytest.raises(DataError, match="is not a folder"):
        read_info(tmp_path / "faces.zip")


VOTES = {
    "single votes are set to 0": ([8, 1, 1], [1, 0, 0]),
    "shares of the rest": ([6, 3, 1], [2 / 3, 1 / 3, 0]),
    "only single votes": ([1, 1, 0], [0.5, 0.5, 0]),
    "no votes": ([0, 0, 0], [0, 0, 1]),
}


@pytest.mark.parametrize(("votes", "expected"), VOTES.values(), ids=VOTES.keys())
def test_votes_are_converted_to_a_distribution(votes: list[float], expected: list[float]) -> None:
    found = vote_distribution(np.array([votes], np.float32), np.array([[0, 0, 1]], np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)


MAJORITY = {
    "all agree": ("10,0,0,0,0,0,0,0,0,0", True),
    "barely more than half": ("6,5,0,0,0,0,0,0,0,0", True),
    "half is not enough": ("5,5,0,0,0,0,0,0,0,0", False),
    "single votes do not count": ("5,1,1,1,1,1,0,0,0,0", True),
    "unknown and not a face count": ("4,0,0,0,0,0,0,0,3,3", False),
    "contempt counts": ("5,0,0,0,0,0,0,5,0,0", False),
    "only single votes": ("1,1,1,0,0,0,0,0,0,0", False),
}


@pytest.mark.parametrize(("votes", "expected"), MAJORITY.values(), ids=MAJORITY.keys())
def test_majority_rule(votes: str, expected: bool) -> None:
    assert has_majority(np.array([votes.split(",")], np.float32)).tolist() == [expected]


@pytest.fixture
def voted(data: Path) -> Path:
    """Add votes to two training faces with a majority and to two without; the other faces have no votes."""
    votes = {
        "train/happy/0001.png": [1, 6, 0, 0, 0, 0, 0, 0, 3, 0],
        "train/happy/0003.png": [3, 4, 0, 0, 0, 0, 0, 0, 2, 0],
        "train/neutral/0000.png": [7, 3, 0, 0, 0, 0, 0, 0, 0, 0],
        "train/neutral/0002.png": [5, 0, 0, 5, 0, 0, 0, 0, 0, 0],
    }
    rows = [",".join([name, *map(str, counts)]) for name, counts in votes.items()]
    (data / "votes.csv").write_text("\n".join([",".join(["file", *VOTE_COLUMNS]), *rows]) + "\n")
    return data


def test_argmax_uses_the_class_folder(voted: Path) -> None:
    faces = load_split(voted, "train", label_mode="argmax")
    assert len(faces) == 8
    np.testing.assert_array_equal(faces.soft_labels, np.eye(2)[faces.labels])


def test_votes_mode_keeps_all_faces_with_soft_labels(voted: Path) -> None:
    faces = load_split(voted, "train", label_mode="votes")
    soft = dict(zip(faces.names, faces.soft_labels.tolist(), strict=True))
    assert len(faces) == 8
    assert soft["train/happy/0001.png"] == [0, 1]
    assert soft["train/neutral/0000.png"] == pytest.approx([0.7, 0.3])
    assert soft["train/neutral/0004.png"] == [1, 0]


def test_majority_mode_excludes_faces_without_majority(voted: Path) -> None:
    faces = load_split(voted, "train", label_mode="majority")
    assert faces.names == ("train/happy/0001.png", "train/neutral/0000.png")
    assert faces.soft_labels.tolist() == [[0, 1], [1, 0]]
    assert len(load_split(voted, "train", label_mode="majority", limit=1)) == 1
    with pytest.raises(DataError, match=r"no valid face .* has a majority"):
        load_split(voted, "valid", label_mode="majority")


@pytest.mark.parametrize("mode", ["argmax", "votes", "majority"])
def test_stored_label_mode_is_the_default(voted: Path, mode: LabelMode) -> None:
    values = json.loads((voted / "dataset.json").read_text())
    (voted / "dataset.json").write_text(json.dumps({**values, "default_label_mode": mode}))
    by_default, explicit = load_split(voted, "train"), load_split(voted, "train", label_mode=mode)
    assert by_default.names == explicit.names
    np.testing.assert_array_equal(by_default.soft_labels, explicit.soft_labels)


def test_default_mode_without_stored_mode_depends_on_votes(voted: Path) -> None:
    assert read_info(voted).default_label_mode == "votes"
    (voted / "votes.csv").unlink()
    assert read_info(voted).default_label_mode == "argmax"


@pytest.mark.parametrize("mode", ["votes", "majority"])
def test_label_modes_that_need_votes_are_rejected_without_votes(data: Path, mode: LabelMode) -> None:
    with pytest.raises(DataError, match="no votes: set `label_mode` to argmax"):
        load_split(data, "train", label_mode=mode)


def test_protocol_describes_the_label_mode(voted: Path) -> None:
    info = read_info(voted)
    assert info.protocol() == info.protocol("votes") == "by brightness, votes as soft labels"
    assert info.protocol("argmax") == "by brightness"
    assert info.protocol("majority") == "by brightness, faces with a majority only"


@pytest.mark.parametrize(
    ("names", "label"),
    [
        ("neutral Neutral NEUTRAL", "neutral"),
        ("happy happiness Happiness", "happy"),
        ("surprise surprised Surprise", "surprise"),
        ("sad sadness SADNESS", "sad"),
        ("angry anger Anger", "angry"),
        ("disgust disgusted Disgust", "disgust"),
        ("fear fearful Fear", "fear"),
        ("contempt Contempt", "contempt"),
        ("bored 3 happy_faces", None),
    ],
)
def test_class_names_are_mapped_to_labels(names: str, label: str | None) -> None:
    assert {label_of(name) for name in names.split()} == {label}
    assert label is None or label in EIGHT_LABELS
