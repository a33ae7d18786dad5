"""Atomic replacement of files, and locks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgeinfer.system.files import replacing, write_file
from edgeinfer.system.portable import try_lock


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["x.json", "model.weights.h5", "x" * 250 + ".json", "-x", ".hidden", "caf\udce9.json"])
@pytest.mark.parametrize("content", ["text\n", b"bytes"], ids=["text", "bytes"])
def test_file_is_created_and_replaced(tmp_path: Path, name: str, content: str | bytes) -> None:
    path = tmp_path / name
    write_file(path, "old")
    write_file(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert names(tmp_path) == [name]


def test_temporary_file_keeps_all_suffixes(tmp_path: Path) -> None:
    with replacing(tmp_path / "model.weights.h5") as partial:
        assert partial.name.endswith("model.weights.h5")
        assert partial.parent == tmp_path
        partial.touch()


def write_half(path: Path, error: BaseException) -> None:
    with replacing(path) as partial:
        partial.write_text("half")
        raise error


@pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt(), ValueError()], ids=type)
@pytest.mark.parametrize("existing", [None, "old"])
def test_failed_block_leaves_no_partial_file(tmp_path: Path, error: BaseException, existing: str | None) -> None:
    path = tmp_path / "x.json"
    if existing is not None:
        path.write_text(existing)
    with pytest.raises(type(error)):
        write_half(path, error)
    assert (path.read_text() if path.exists() else None) == existing
    assert names(tmp_path) == ([] if existing is None else ["x.json"])


def test_link_and_permissions_are_kept(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    write_file(link, "new")
    assert link.is_symlink()
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("new", 0o640)


def test_dangling_link_creates_its_target(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    write_file(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


def test_read_only_file_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    path.write_text("old")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write every file
    with pytest.raises(PermissionError):
        write_file(path, "new")
    assert path.read_text() == "old"


def test_pipe_is_written_directly(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_file(pipe, "text")
    assert os.read(reader, 10) == b"text"
    os.close(reader)


def test_lock_lasts_until_the_file_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with path.open("w") as first, path.open("w") as second:
        assert try_lock(first.fileno())
        assert not try_lock(second.fileno())
        first.close()
        assert try_lock(second.fileno())
