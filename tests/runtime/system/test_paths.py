"""Names for the operating system and for native libraries."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgeinfer import OutputError, SourceError
from edgeinfer.system.paths import local_path, native_path

HOSTILE = ["caf\udce9.mp4", "x%03d.mp4", "q?x.mp4", "back\\slash.mp4", "new\nline.mp4", "escape\x1b[31m.mp4"]
HARMLESS = ["2024-01-01T12:30:05.mp4", "-dash.mp4", "a#b*c[1].mp4", " sp ace .mp4", "ümlaut😀.mp4", "http:x.mp4"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_name_is_replaced_by_a_temporary_link(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"content")
    with native_path(path) as native:
        assert native.isascii()
        assert native.isprintable()
        assert not set(native) & set("%?\\")
        assert native.endswith(".mp4")
        assert Path(native).read_bytes() == b"content"
    assert not os.path.lexists(native)
    assert not Path(native).parent.exists()


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_name_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with native_path(name) as native:
        assert native == f"{tmp_path}/{name}"


def test_new_file_gets_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / "caf\udce9.txt"
    with native_path(path) as native:
        Path(native).write_text("content")
    assert path.read_text() == "content"


def test_long_path_is_replaced_by_a_link(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["x" * 200] * 6)
    folder.mkdir(parents=True)
    (folder / "a.odd suffix").write_text("content")
    with native_path(folder / "a.odd suffix") as native:
        assert len(native) < 200
        assert Path(native).read_text() == "content"


def test_temporary_folder_with_a_hostile_name_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t%d").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "t%d"))
    with pytest.raises(OSError, match="temporary folder"), native_path(tmp_path / "x%d"):
        pass


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("~nosuch/x", "no home folder for ~nosuch/x"),
        ("a\0b", "a character that"),
        ("a\ud800b", "a character that"),
        ("x" * 300, "too long"),
        ("x/" * 3000, "too long"),
    ],
    ids=["unknown-user", "nul", "surrogate", "long-name", "long-path"],
)
def test_impossible_path_raises_the_requested_error(name: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as error:
        local_path(name, SourceError)
    assert len(str(error.value)) < 400
    assert "\n" not in str(error.value)


def test_possible_path_is_returned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert local_path("~/missing", OutputError) == tmp_path / "missing"
    assert local_path("~/missing", OutputError, expand_home=False) == Path("~/missing")
    assert local_path("caf\udce9", OutputError) == Path("caf\udce9")
