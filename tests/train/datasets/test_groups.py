from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer_train.datasets.groups import find_groups, near_duplicates, straddling
from edgeinfer_train.errors import DataError


def smooth_faces(count: int) -> NDArray[np.uint8]:
    """Return (count, 48, 48, 1) different smooth images."""
    random = np.random.default_rng(0)
    faces = [cv2.resize(random.integers(0, 255, (6, 6)).astype(np.uint8), (48, 48)) for _ in range(count)]
    return np.stack(faces)[..., None]


PERSONS = ("ann", "bo", "cy", "di")
NAMES = {
    "person before the number": (
        [f"train/sad/{p}_{i:03d}.png" for p in PERSONS for i in range(3)],
        4,
    ),
    "subject and session": ([f"valid/sad/S{s:03d}_00{t}_0{t}.png" for s in range(5) for t in range(2)], 5),
    "three persons are too few": ([f"train/sad/{p}_{i}.png" for p in PERSONS[:3] for i in range(4)], 0),
    "one prefix": ([f"train/sad/IMG_{i:04d}.jpg" for i in range(12)], 0),
    "labels are not persons": ([f"train/x/{p}_{i}.png" for p in ("happy", "Sadness", "a", "b") for i in range(3)], 0),
    "numbers only": ([f"train/sad/fer{i:07d}.png" for i in range(12)], 0),
    "one face each": ([f"train/sad/{i}_07.png" for i in range(12)], 0),
}


@pytest.mark.parametrize(("names", "persons"), NAMES.values(), ids=NAMES.keys())
def test_persons_are_derived_from_plausible_names_only(names: list[str], persons: int) -> None:
    groups = find_groups(names, smooth_faces(len(names)), ("happy", "sad"))
    assert groups.kind == ("persons" if persons else "near-duplicates")
    assert groups.count == (persons or len(names))


def test_expression_names_the_person() -> None:
    names = ["a/x-kim-1.png", "a/y-kim-2.png", "b/z-lee-3.png"]
    groups = find_groups(names, smooth_faces(3), ("a", "b"), r"-(\w+)-")
    assert groups.ids[0] == groups.ids[1] != groups.ids[2]
    assert find_groups(names, smooth_faces(3), ("a", "b"), "kim|lee").ids.tolist() == groups.ids.tolist()


@pytest.mark.parametrize(("regex", "message"), [("kim", "does not match 1 of the 2"), (r"\.png", "the same person")])
def test_useless_expression_is_rejected(regex: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        find_groups(["a/kim.png", "a/lee.png"], smooth_faces(2), ("a",), regex)


def test_slightly_changed_copies_are_near_duplicates() -> None:
    faces = smooth_faces(4)
    noise = np.random.default_rng(1).normal(0, 2, faces.shape)
    brighter = np.clip(faces * 0.9 + 12 + noise, 0, 255).astype(np.uint8)
    ids = near_duplicates(np.concatenate([faces, brighter]))
    assert ids[:4].tolist() == ids[4:].tolist()
    assert len(set(ids.tolist())) == 4


def test_straddling_groups_have_faces_on_both_sides() -> None:
    groups = find_groups([f"{p}_{i}.png" for p in "abcd" for i in range(2)], smooth_faces(8), ())
    in_valid = np.array([0, 1, 0, 0, 1, 1, 0, 0], bool)
    assert straddling(groups, in_valid).tolist() == [True, True] + [False] * 6
