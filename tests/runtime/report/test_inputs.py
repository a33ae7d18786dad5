"""Result files named by arguments: folders of a batch, formats, hidden files."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from edgeinfer.errors import SourceError, SourceNotFoundError
from edgeinfer.readers.inputs import find_inputs
from tools.result_files import write_batch_table


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def found(*arguments: Path) -> list[str]:
    return [file.shown.removeprefix(f"{arguments[0]}/") for file in find_inputs(list(map(str, arguments))).files]


def test_folder_of_a_batch_names_sources_and_failures(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "a/07.csv",
        "a/08.avi.csv",
        "a/08.mp4.csv",
        "photos/pictures.csv",
        "new/12.csv",
        "a/09.csv",
        "b.v2.csv",
    )
    write_batch_table(
        tmp_path,
        ["a/07.mp4", "done"], ["a/08.avi", "no_faces"], ["a/08.mp4", "done", "truncated", 50, 2.5],
        ["photos/pictures", "done"], ["a/09.mp4", "failed", "damaged"], ["a/10.mp4", "done"], ["b.v2.mkv", "done"],
    )  # fmt: skip
    inputs = find_inputs([str(tmp_path)])
    names = {file.shown.removeprefix(f"{tmp_path}/"): file.name for file in inputs.files}
    assert names == {
        "a/07.csv": "a/07.mp4", "a/08.avi.csv": "a/08.avi", "a/08.mp4.csv": "a/08.mp4", "b.v2.csv": "b.v2.mkv",
        "photos/pictures.csv": "photos/pictures", "new/12.csv": None,
    }  # fmt: skip
    assert [(failed.name, failed.reason) for failed in inputs.failed] == [
        ("a/09.mp4", "damaged"), ("a/10.mp4", "its result is missing"),
    ]  # fmt: skip
    entry = next(file.entry for file in inputs.files if file.name == "a/08.mp4")
    assert entry is not None
    assert (entry.reason, entry.frames, entry.duration_s) == ("truncated", 50, 2.5)


def test_result_belongs_to_the_successful_source_of_two_with_one_stem(tmp_path: Path) -> None:
    touch(tmp_path, "07.csv")
    write_batch_table(tmp_path, ["07.avi", "failed", "damaged"], ["07.mp4", "done"])
    inputs = find_inputs([str(tmp_path)])
    assert [file.name for file in inputs.files] == ["07.mp4"]
    assert [failed.name for failed in inputs.failed] == ["07.avi"]


def test_recorded_names_of_results_take_precedence(tmp_path: Path) -> None:
    touch(tmp_path, "annotated_/a.csv", "07.csv", "07.mp4-1a2b3c4d.csv")
    write_batch_table(tmp_path, ["annotated/a.mp4", "done"], ["07.mp4", "done"], ["07", "done"], ["x.mp4", "done"])
    names = [
        ("annotated/a.mp4", "old"),
        ("annotated/a.mp4", "annotated_/a"),
        ("07.mp4", "07.mp4-1a2b3c4d"),
        ("07", "07"),
    ]
    lines = [json.dumps({"source": source, "result": result}) for source, result in names]
    touch(tmp_path, ".edgeinfer/manifest.jsonl")
    (tmp_path / ".edgeinfer" / "manifest.jsonl").write_text("\n".join([*lines, '{"source": 7}', "[", '"x"', '{"torn']))
    inputs = find_inputs([str(tmp_path)])
    assert {file.path.name: file.name for file in inputs.files} == {
        "a.csv": "annotated/a.mp4", "07.csv": "07", "07.mp4-1a2b3c4d.csv": "07.mp4",
    }  # fmt: skip
    assert [failed.name for failed in inputs.failed] == ["x.mp4"]


def test_lists_of_shards_add_to_the_list_of_the_batch(tmp_path: Path) -> None:
    touch(tmp_path, "a.csv")
    write_batch_table(tmp_path, ["b.mp4", "failed", "damaged"]).rename(tmp_path / "batch.2-of-3.csv")
    write_batch_table(tmp_path, ["a.mp4", "done"])
    inputs = find_inputs([str(tmp_path)])
    assert [file.name for file in inputs.files] == ["a.mp4"]
    assert [failed.name for failed in inputs.failed] == ["b.mp4"]
    assert len(inputs.tables) == 2


def test_one_format_is_read_and_hidden_files_are_not(tmp_path: Path) -> None:
    touch(
        tmp_path, "a.csv", "a.jsonl", "a.parquet", "b.csv", "b.PARQUET", "10.csv", "9.csv", ".x.csv",
        ".edgeinfer/a.csv", "notes.txt",
    )  # fmt: skip
    preferred = "b.PARQUET" if importlib.util.find_spec("pyarrow") else "b.csv"
    assert sorted(found(tmp_path)) == sorted(["9.csv", "10.csv", "a.jsonl", preferred])
    assert found(tmp_path).index("9.csv") < found(tmp_path).index("10.csv")


def test_parquet_is_the_last_choice_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.csv", "a.parquet")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert found(tmp_path) == ["a.csv"]


def test_each_file_is_read_once(tmp_path: Path) -> None:
    touch(tmp_path, "a.csv", "b/c.csv")
    (tmp_path / "link.csv").symlink_to("a.csv")
    assert found(tmp_path, tmp_path / "a.csv", tmp_path / "b") == ["a.csv", "b/c.csv"]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("missing.csv", SourceNotFoundError, "no result at"),
        ("", SourceNotFoundError, "no result at"),
        ("empty", SourceNotFoundError, "no result in"),
        ("batch.csv", SourceError, "give its folder instead"),
        ("bad", SourceError, "is not the list of a batch"),
        ("x" * 5000, SourceError, "too long"),
    ],
)
def test_argument_without_results_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: type[Exception], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "batch.csv", "bad/batch.csv", "bad/a.csv", "empty/readme.txt", "empty/.hidden/a.csv")
    with pytest.raises(error, match=message):
        find_inputs([name])


@pytest.mark.parametrize("text", ["nan", "-1", "inf", "x", ""])
def test_invalid_numbers_in_the_list_of_a_batch_count_as_zero(tmp_path: Path, text: str) -> None:
    touch(tmp_path, "a.csv")
    write_batch_table(tmp_path, ["a.mp4", "done", "", text, text], ["..", "done"], ["", "done"], ["/", "failed"])
    inputs = find_inputs([str(tmp_path)])
    entry = inputs.files[0].entry
    assert entry is not None
    assert (entry.frames, entry.duration_s) == (0, 0.0)
