from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from edgeinfer.batch import naming
from edgeinfer.batch.naming import RESULT_SUFFIXES, ignores_case, is_valid, result_names


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param({"a/07.mp4": "a/07", "b/07.mp4": "b/07"}, {}, id="no-conflict"),
        pytest.param({"07.mp4": "07.mp4", "07.avi": "07.avi", "08.mp4": "08"}, {}, id="same-stem"),
        pytest.param({"7.mp4": "7.mp4", "7.avi": "7.avi", "7.mp4.avi": "7.mp4.avi"}, {}, id="chain"),
        pytest.param({"x/pictures": "x/pictures", "x/pictures.mp4": "x/pictures.mp4"}, {}, id="pictures-of-a-folder"),
        pytest.param({"batch.mp4": "batch.mp4", "Batch.2-of-3.mp4": "Batch.2-of-3.mp4", "a/batch.mp4": "a/batch"}, {},
                     id="table-of-the-batch"),
        pytest.param({"annotated/x.mp4": "annotated_/x", ".edgeinfer/y.mp4": ".edgeinfer_/y"}, {}, id="own-folders"),
        pytest.param({"annotated.mp4": "annotated"}, {}, id="file-named-like-a-folder"),
        pytest.param({"x.csv/y.mp4": "x.csv/y", "x.mp4": "x.mp4"}, {}, id="folder-named-like-a-result"),
        pytest.param({"x.mp4/y.jpg": "x.mp4/y", "x.avi": "x.avi"}, {}, id="folder-named-like-a-copy"),
        pytest.param({"A.mp4": "A", "a.mp4": "a"}, {}, id="case"),
        pytest.param({"07.avi": "07.avi", "07.mp4": "07"}, {"07.mp4": "07"}, id="earlier-name"),
        pytest.param({"07.avi": "07.avi"}, {"07.mp4": "07"}, id="earlier-name-of-a-removed-source"),
        pytest.param({"07.mp4": "07.mp4"}, {"07.mp4": "07.mp4"}, id="earlier-name-with-suffix"),
        pytest.param({"07.mp4": "07"}, {"07.mp4": "../07"}, id="earlier-name-outside"),
        pytest.param({"07.mp4": "07.mp4"}, {"08.mp4": "07", "07.mp4": "07"}, id="earlier-name-twice"),
    ],
)  # fmt: skip
def test_names_of_results(names: dict[str, str], expected: dict[str, str]) -> None:
    assert dict(zip(names, result_names(list(names), expected), strict=True)) == names


def test_names_that_differ_only_by_case_keep_their_suffix_on_request() -> None:
    assert result_names(["A.mp4", "a.avi", "b.mp4"], {}, ignore_case=True) == ["A.mp4", "a.avi", "b"]
    first, second = result_names(["A.mp4", "a.mp4"], {}, ignore_case=True)
    assert first.startswith("A.mp4-")
    assert second.startswith("a.mp4-")
    assert first.casefold() != second.casefold()


@pytest.mark.parametrize(
    "path",
    ["x" * 251 + ".mp4", "ü" * 125 + ".mp4", "caf\udce9" * 50 + ".mp4", "a/" * 3000 + "b.mp4", "y" * 400 + "/b.mp4"],
    ids=["long", "utf-8", "not-utf-8", "deep", "impossible"],
)
def test_long_names_are_shortened(path: str) -> None:
    twin = path.removesuffix(".mp4") + ".avi"
    first, second = result_names([path, twin], {})
    assert first != second
    assert result_names([twin, path], {}) == [second, first]
    for name in (first, second):
        assert is_valid(name)
        assert len(os.fsencode(name)) <= naming.MAX_PATH_BYTES
        *folders, file = (len(os.fsencode(part)) for part in name.split("/"))
        assert file <= naming.MAX_NAME_BYTES + 10
        assert max(folders, default=0) <= naming.MAX_FOLDER_BYTES


def test_names_are_unique_and_independent_of_the_order() -> None:
    source = random.Random(17)
    parts = ["a", "A", "b.csv", "pictures", "annotated", "batch", "07"]
    suffixes = ["", ".mp4", ".avi", ".mp4.avi", ".csv", ".jpg", ".csv.mp4"]
    for _ in range(200):
        found = (
            "/".join((*source.choices(parts, k=source.randint(0, 2)), source.choice(parts) + source.choice(suffixes)))
            for _ in range(12)
        )
        paths = list(dict.fromkeys(found))
        ignore_case = source.random() < 0.5
        names = result_names(paths, {}, ignore_case=ignore_case)
        assert all(map(is_valid, names))
        keys = {name.casefold() if ignore_case else name for name in names}
        assert len(keys) == len(paths)
        folders = {name.rpartition("/")[0] for name in names}
        assert not folders & {name + suffix for name in names for suffix in RESULT_SUFFIXES}
        mixed = source.sample(paths, len(paths))
        assert dict(zip(mixed, result_names(mixed, {}, ignore_case=ignore_case), strict=True)) == dict(
            zip(paths, names, strict=True)
        )


def test_case_sensitivity_of_a_missing_folder_is_that_of_its_parent(tmp_path: Path) -> None:
    (tmp_path / "probe").touch()
    assert ignores_case(tmp_path / "missing/below") == (tmp_path / "PROBE").exists()
