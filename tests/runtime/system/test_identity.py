"""Comparison of inputs and outputs by identity."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgeinfer import UsageError
from edgeinfer.system.identity import NamedPath, check_distinct, files_below, is_same_or_below


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Working folder with a clip, links to it and to a file that does not exist yet, and a subfolder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(b"clip")
    (tmp_path / "link.mp4").symlink_to("clip.mp4")
    (tmp_path / "hard.mp4").hardlink_to("clip.mp4")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sublink").symlink_to("sub")
    (tmp_path / "dangling").symlink_to("sub/new")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


SPELLINGS = ["clip.mp4", "./clip.mp4", "sub/../clip.mp4", "sublink/../clip.mp4", "link.mp4", "hard.mp4"]


@pytest.mark.parametrize("output", SPELLINGS)
@pytest.mark.parametrize("source", SPELLINGS)
def test_output_that_is_an_input_is_refused(folder: Path, output: str, source: str) -> None:
    with pytest.raises(UsageError, match="same file as the source") as error:
        check_distinct([NamedPath("`out`", output)], [NamedPath("the source", source)])
    assert f"`out` {output}" in str(error.value)
    assert (folder / "clip.mp4").read_bytes() == b"clip"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("clip.mp4", "hard.mp4", id="existing"),
        pytest.param("new", "./new", id="new"),
        pytest.param("new", "sub/../new", id="new-through-the-parent"),
        pytest.param("sub/new", "sublink/new", id="new-through-a-linked-folder"),
        pytest.param("sub/new", "dangling", id="target-of-a-dangling-link"),
        pytest.param("none/new", "none/new", id="folder-that-does-not-exist"),
        pytest.param("pipe", "pipe", id="pipe"),
        pytest.param("-", "/dev/stdout", id="stdout"),
        pytest.param("x" * 5000, "x" * 5000, id="long-name"),
        pytest.param("caf\udce9", "./caf\udce9", id="not-utf-8"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_same_output_twice_is_refused(first: str, second: str) -> None:
    with pytest.raises(UsageError, match="two outputs"):
        check_distinct([NamedPath("`out`", first), NamedPath("`save_video`", second)], [])


@pytest.mark.parametrize(
    ("outputs", "inputs"),
    [
        pytest.param(["new", "new2"], ["clip.mp4"], id="different"),
        pytest.param(["new"], ["new"], id="missing-input"),
        pytest.param(["sub/clip.mp4"], ["clip.mp4"], id="same-name-in-another-folder"),
        pytest.param([os.devnull, os.devnull], [os.devnull], id="null-device"),
        pytest.param(["a\0b"], ["clip.mp4", "c\0d"], id="invalid-character"),
        pytest.param(["new"], ["rtsp://camera/stream", "0"], id="stream-and-camera"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_distinct_files_are_accepted(outputs: list[str], inputs: list[str]) -> None:
    check_distinct([NamedPath("`out`", path) for path in outputs], [NamedPath("the source", path) for path in inputs])


def test_inputs_are_not_searched_for_new_outputs(folder: Path) -> None:
    def endless() -> NamedPath:
        raise AssertionError

    check_distinct([NamedPath("`out`", "new")], (endless() for _ in range(1)))
    assert not (folder / "new").exists()


def test_control_characters_are_removed_from_the_message(folder: Path) -> None:
    (folder / "a\x1b[31m\n").touch()
    with pytest.raises(UsageError) as error:
        check_distinct([NamedPath("`out`", "a\x1b[31m\n")] * 2, [])
    assert str(error.value).isprintable()


def test_files_below_a_folder_include_those_of_linked_folders(folder: Path) -> None:
    (folder / "sub" / "a").touch()
    (folder / "sub" / "loop").symlink_to("..")
    found = {os.path.relpath(path, folder) for _, path in files_below("the data", folder)}
    assert {"clip.mp4", "hard.mp4"} <= found
    assert len(found & {"sub/a", "sublink/a"}) == 1
    assert len(found) < 20


@pytest.mark.parametrize(
    ("path", "expected"),
    [("sub", True), ("sub/x/y", True), ("sublink/x", True), ("sub/../x", False), ("x", False), ("a\0b", False)],
)
def test_path_below_a_folder(folder: Path, path: str, expected: bool) -> None:
    assert is_same_or_below(Path(path), folder / "sub") is expected
