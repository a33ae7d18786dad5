from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer_train.datasets.grouping import group_copies, group_faces
from edgeinfer_train.errors import ConfigError, DataError


def blobs(seed: int) -> NDArray[np.uint8]:
    """Return a random smooth image, with structure like that of a face."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (48, 48), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


FACE = blobs(0)
COPIES = {
    "jpeg": cv2.imdecode(cv2.imencode(".jpg", FACE, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], cv2.IMREAD_GRAYSCALE),
    "enlarged": cv2.resize(FACE, (120, 120), interpolation=cv2.INTER_CUBIC),
    "darker": cv2.convertScaleAbs(FACE, alpha=0.7, beta=5),
    "colour": cv2.cvtColor(FACE, cv2.COLOR_GRAY2BGR),
}
PLAIN = [np.zeros((8, 8), np.uint8)]


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES.keys())
def test_altered_copies_form_a_group(copy: NDArray[np.uint8]) -> None:
    assert group_copies([blobs(1), FACE, blobs(2), copy]).tolist() == [0, 1, 2, 1]


def test_different_faces_are_separate() -> None:
    assert group_copies(map(blobs, range(600))).tolist() == list(range(600))
    assert group_faces([], []).count == 0


NAMES = {
    "ckplus": ([f"S{person:03d}_001_{frame:08d}.png" for person in range(4) for frame in range(3)], 4),
    "jaffe": ([f"{person}.{label}1.39.tiff" for person in ("KA", "KL", "KM") for label in ("AN", "HA")], 3),
    "tracks": ([f"hall_mp4_t{track:04d}_f{frame:06d}_c081.png" for track in range(3) for frame in range(2)], 3),
    "folders": ([f"train/{label}/{person}-1.png" for person in ("a", "b", "c") for label in ("happy", "sad")], 3),
}  # fmt: skip


@pytest.mark.parametrize(("names", "persons"), NAMES.values(), ids=NAMES.keys())
def test_persons_are_read_from_common_names(names: list[str], persons: int) -> None:
    groups = group_faces(PLAIN * len(names), names)
    assert (groups.source, groups.count) == ("names", persons)
    per_person = len(names) // persons
    assert groups.ids.tolist() == [position // per_person for position in range(len(names))]


NO_PERSONS = {
    "cameras": ["IMG_1.jpg", "IMG_2.jpg", "DSC_1.jpg", "DSC_2.jpg"],
    "classes": ["x/happy/happy_1.png", "x/happy/happy_2.png", "x/sad/sad_1.png", "x/sad/sad_2.png",
                "x/fear/fear_1.png", "x/fear/fear_2.png"],
    "one face each": ["anna_1.png", "ben_1.png", "carl_1.png", "dora_1.png"],
    "mostly one": ["frame_1.png", "frame_2.png", "frame_3.png", "frame_4.png", "a_1.png", "a_2.png", "b_1.png"],
    "numbers": ["fer0000001.png", "fer0000002.png", "fer0000003.png", "fer0000004.png"],
}  # fmt: skip


@pytest.mark.parametrize("names", NO_PERSONS.values(), ids=NO_PERSONS.keys())
def test_other_names_give_groups_by_pixels(names: list[str]) -> None:
    groups = group_faces([*map(blobs, range(len(names) - 1)), blobs(0)], names)
    assert groups.source == "pixels"
    assert groups.ids.tolist() == [*range(len(names) - 1), 0]


REGEXES = {
    "named group": r"(\d+)-(?P<person>[a-z]+)",
    "first group": r"-([a-z]+)",
    "whole match": r"[a-z]+(?=\.png)",
}


@pytest.mark.parametrize("regex", REGEXES.values(), ids=REGEXES.keys())
def test_regex_names_the_person(regex: str) -> None:
    names = ["x/12-anna.png", "x/13-ben.png", "y/14-anna.png", "y/15.png"]
    groups = group_faces(PLAIN * 4, names, regex)
    assert groups.ids.tolist() == [0, 1, 0, 2]
    assert groups.description == "3 persons by `group_regex`"


def test_unusable_regex_is_rejected() -> None:
    with pytest.raises(ConfigError, match="invalid `group_regex`"):
        group_faces(PLAIN, ["a.png"], "(")
    with pytest.raises(DataError, match=r"matches no file name, such as 'a\.png'"):
        group_faces(PLAIN, ["x/a.png"], "b")
