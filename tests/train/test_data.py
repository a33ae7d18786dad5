from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeinfer_train.data import load_split, present_splits, read_info, vote_distribution
from edgeinfer_train.errors import DataError


@pytest.fixture
def data(tmp_path: Path, make_toy_data: Callable[..., Path]) -> Path:
    return make_toy_data(tmp_path / "data", train=8, valid=4)


def test_a_split_in_memory(data: Path) -> None:
    faces = load_split(data, "train")
    assert faces.images.shape == (8, 48, 48, 1)
    assert faces.images.dtype == np.uint8
    assert faces.labels.tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert list(faces.names) == sorted(faces.names)
    np.testing.assert_array_equal(faces.soft_labels, np.eye(2)[faces.labels])


def test_size_and_colour(data: Path) -> None:
    faces = load_split(data, "valid", size_hw=(20, 30), colour="rgb")
    assert faces.images.shape == (4, 20, 30, 3)


def test_limit_draws_evenly_over_the_labels(data: Path) -> None:
    assert np.bincount(load_split(data, "train", limit=4).labels).tolist() == [2, 2]


def test_copies_of_held_out_pixels_are_not_trained_on(data: Path) -> None:
    """A copy under another name, another label and another encoding."""
    held_out = sorted((data / "valid/happy").iterdir())[0]
    picture = cv2.imread(str(held_out), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    cv2.imwrite(str(data / "train/neutral/copy.bmp"), picture)
    shutil.copy(held_out, data / "train/happy/copy.png")
    faces = load_split(data, "train")
    assert len(faces) == 8
    assert not any("copy" in name for name in faces.names)
    assert len(load_split(data, "valid")) == 4


def test_taking_some(data: Path) -> None:
    faces = load_split(data, "train")
    some = faces.take(np.array([6, 1]))
    assert some.names == (faces.names[6], faces.names[1])
    np.testing.assert_array_equal(some.images[0], faces.images[6])


def test_only_copies_is_an_error(data: Path) -> None:
    shutil.rmtree(data / "train")
    shutil.copytree(data / "valid", data / "train")
    with pytest.raises(DataError, match="nothing is left to learn from"):
        load_split(data, "train")


def test_present_splits(data: Path) -> None:
    assert present_splits(data, ("neutral", "happy")) == ("train", "valid")
    with pytest.raises(DataError, match="no test faces; splits with faces: train, valid"):
        load_split(data, "test")


def test_an_unreadable_image_is_named(data: Path) -> None:
    (data / "valid/happy/zz.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"zz\.png is not a readable image"):
        load_split(data, "valid")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "holds no dataset.json"),
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"complete": true}', "damaged"),
        (json.dumps({"name": "x", "labels": ["a"], "label_mode": "m", "complete": False}), "interrupted"),
    ],
    ids=["missing", "broken", "no object", "no labels", "interrupted"],
)
def test_folders_that_were_not_prepared(data: Path, content: str | None, message: str) -> None:
    (data / "dataset.json").unlink()
    if content is not None:
        (data / "dataset.json").write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        read_info(data)
    assert caught.value.exit_code == 4


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_info(tmp_path / "nowhere")


VOTES = {
    "single votes are slips": ([8, 1, 1], [1, 0, 0]),
    "shares of the rest": ([6, 3, 1], [2 / 3, 1 / 3, 0]),
    "nothing but single votes": ([1, 1, 0], [0.5, 0.5, 0]),
    "no vote at all": ([0, 0, 0], [0, 0, 1]),
}


@pytest.mark.parametrize(("votes", "expected"), VOTES.values(), ids=VOTES.keys())
def test_votes_become_a_distribution(votes: list[float], expected: list[float]) -> None:
    found = vote_distribution(np.array([votes], np.float32), np.array([[0, 0, 1]], np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)
