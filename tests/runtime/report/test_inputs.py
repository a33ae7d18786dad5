"""Result files named by arguments: folders of a batch, formats, hidden files."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeinfer.errors import SourceError, SourceNotFoundError
from edgeinfer.readers.base import SUBTITLES
from edgeinfer.readers.inputs import find_inputs
from tools.result_files import face, steady, write_batch_table, write_csv, write_jsonl, write_parquet

ONE = steady([[], [face("happy", 0.8)], [face("sad", 0.7)]])
OTHER = steady([[], [face("happy", 0.7)]])
EMPTY = steady([[], []])
NAMES = ("p/1.jpg", "p/2.jpg", "p/3.jpg")


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


def write_video_and_pictures(folder: Path) -> None:
    write_csv(folder / "a.csv", ONE)
    write_jsonl(folder / "a.jsonl", ONE, pictures=NAMES)


def write_two_videos(folder: Path) -> None:
    write_csv(folder / "a.csv", OTHER)
    write_jsonl(folder / "a.jsonl", ONE)


def write_video_without_faces(folder: Path) -> None:
    write_csv(folder / "a.csv", EMPTY)
    write_jsonl(folder / "a.jsonl", EMPTY, pictures=NAMES)


def write_two_headers(folder: Path) -> None:
    write_parquet(folder / "a.parquet", ["one.mp4"])
    write_jsonl(folder / "a.jsonl", ONE, source="other/one.mp4")


def write_damaged_file(folder: Path) -> None:
    write_csv(folder / "a.csv", ONE)
    touch(folder, "a.jsonl")


@pytest.mark.parametrize("named", [False, True], ids=["folder", "files"])
@pytest.mark.parametrize(
    "write",
    [write_video_and_pictures, write_two_videos, write_video_without_faces, write_two_headers, write_damaged_file],
)
def test_results_of_different_sources_are_all_read(tmp_path: Path, write: Callable[[Path], None], named: bool) -> None:
    write(tmp_path)
    arguments = sorted(map(str, tmp_path.iterdir())) if named else [str(tmp_path)]
    inputs = find_inputs(arguments)
    assert sorted(file.path.name for file in inputs.files) == sorted(path.name for path in tmp_path.iterdir())
    assert inputs.left_out == []


def test_named_result_of_the_same_source_is_left_out_with_a_note(tmp_path: Path) -> None:
    paths = [write_csv(tmp_path / "a.csv", ONE), write_jsonl(tmp_path / "a.jsonl", [*ONE, (0.3, [])])]
    for arguments, named in ((paths, True), ([tmp_path], False), ([tmp_path, paths[0]], True)):
        inputs = find_inputs(list(map(str, arguments)))
        assert [file.path.name for file in inputs.files] == ["a.jsonl"]
        assert [(file.path, file.named, other.path) for file, other in inputs.left_out] == [
            (*paths[:1], named, paths[1])
        ]


def test_results_with_the_same_header_are_of_the_same_source(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", ["a.mp4"], given="clips/a.mp4")
    write_jsonl(tmp_path / "a.jsonl", ONE, source="clips/a.mp4")
    write_csv(tmp_path / "a.csv", ONE)
    assert found(tmp_path) == ["a.jsonl"]


def test_results_that_nothing_distinguishes_are_alternatives_in_a_folder_only(tmp_path: Path) -> None:
    paths = [write_csv(tmp_path / "a.csv", EMPTY), write_jsonl(tmp_path / "a.jsonl", EMPTY)]
    assert found(tmp_path) == ["a.jsonl"]
    assert len(find_inputs(list(map(str, paths))).files) == 2


def test_results_of_one_source_of_a_batch_are_alternatives(tmp_path: Path) -> None:
    write_two_videos(tmp_path)
    write_batch_table(tmp_path, ["a.mp4", "done"])
    assert found(tmp_path) == ["a.jsonl"]


@pytest.mark.parametrize("recorded", [["srt"], ["csv", "srt"], None], ids=["subtitles", "CSV too", "no state"])
def test_source_with_subtitles_only_has_not_failed(tmp_path: Path, recorded: list[str] | None) -> None:
    touch(tmp_path, "a.csv", "b/1.SRT", "b/2.vtt", "other.srt")
    rows = [["a.mp4", "done"], ["b/1.mp4", "done"], ["b/2.mp4", "no_faces"], ["c.mp4", "failed", "damaged"]]
    write_batch_table(tmp_path, *rows)
    if recorded is not None:
        touch(tmp_path, ".edgeinfer/manifest.jsonl")
        lines = [json.dumps({"source": row[0], "result": row[0][:-4], "formats": recorded}) for row in rows]
        (tmp_path / ".edgeinfer" / "manifest.jsonl").write_text("\n".join(lines))
    inputs = find_inputs([str(tmp_path)])
    assert [file.name for file in inputs.files] == ["a.mp4"]
    missing = ["b/1.mp4", "b/2.mp4"]
    with_csv = recorded is not None and "csv" in recorded
    assert [source.name for source in inputs.unreadable] == ([] if with_csv else missing)
    assert [source.name for source in inputs.failed] == [*(missing if with_csv else []), "c.mp4"]
    assert {source.reason for source in inputs.unreadable} <= {SUBTITLES}


def test_batch_with_subtitles_only_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "a.srt")
    write_batch_table(tmp_path, ["a.mp4", "done"])
    with pytest.raises(
        SourceNotFoundError, match=r"no result of a\.mp4: subtitles cannot be read back; write a \.jsonl"
    ):
        find_inputs([str(tmp_path)])


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
