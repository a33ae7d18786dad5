"""Existing files of line-wise output: replaced, appended to, or split into parts."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from edgeinfer import OutputError, Rotation
from edgeinfer.outputs import line_file, line_writer
from edgeinfer.outputs.line_writer import LineWriter

NEVER_S = 3600.0
HEADER = '{"type":"header","schema":1,'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.jsonl"


@contextmanager
def started_writer(path: Path, **options: Any) -> Iterator[LineWriter]:
    """Open a writer and commit, as a sink does with the first frame."""
    with LineWriter(str(path), **options) as writer:
        writer.start("{")
        writer.commit()
        yield writer


@pytest.mark.parametrize(
    ("existing", "continued", "kept"),
    [
        pytest.param(b"", False, b"", id="empty"),
        pytest.param(b"{1\n{2\n", True, b"{1\n{2\n", id="complete"),
        pytest.param(b"{1\n{2\n{3", True, b"{1\n{2\n", id="incomplete-last-line"),
        pytest.param(b"{1\n" + bytes(200_000), True, b"{1\n", id="zeros-after-a-power-cut"),
    ],
)
def test_append_continues_after_the_last_complete_line(
    path: Path, existing: bytes, continued: bool, kept: bytes
) -> None:
    path.write_bytes(existing)
    with LineWriter(str(path), append=True) as writer:
        assert path.read_bytes() == existing
        assert writer.start("{") is continued
        writer.write("{new\n")
    assert path.read_bytes() == kept + b"{new\n"


@pytest.mark.parametrize(
    "existing",
    [
        pytest.param(HEADER[:16], id="beginning"),
        pytest.param(f'{HEADER}"clip', id="longer-than-the-beginning"),
    ],
)
def test_append_replaces_an_incomplete_header(path: Path, existing: str) -> None:
    path.write_text(existing)
    with LineWriter(str(path), append=True) as writer:
        assert writer.start(HEADER) is False
        writer.write("{new\n")
    assert path.read_text() == "{new\n"


@pytest.mark.parametrize(
    "existing",
    [
        pytest.param(b"dear diary\ntoday", id="lines"),
        pytest.param(b"dear diary", id="one-line-without-end"),
        pytest.param(b"x" * 200_000, id="one-long-line"),
        pytest.param(HEADER.encode() + b"x" * (2 << 20) + b"\n", id="header-of-2-MB"),
        pytest.param(b"\n", id="empty-line"),
        pytest.param(b"{", id="one-byte-as-ours"),
        pytest.param(HEADER[:15].encode(), id="too-little-of-a-header"),
        pytest.param(HEADER.replace("1", "2").encode() + b"}\n", id="other-schema"),
        pytest.param(HEADER.encode() + b"oops\n", id="rejected-header"),
        pytest.param(bytes(5000), id="zeros"),
        pytest.param(b"\xff\xfe{\x00", id="utf-16"),
        pytest.param(b"\xef\xbb\xbf" + HEADER.encode() + b"}\n", id="byte-order-mark"),
    ],
)
def test_append_leaves_other_content_unchanged(path: Path, existing: bytes) -> None:
    path.write_bytes(existing)
    with pytest.raises(OutputError, match="cannot append") as error, LineWriter(str(path), append=True) as writer:
        writer.start(HEADER, lambda line: line.endswith(b"}\n"))
    assert error.value.exit_code == 6
    assert path.read_bytes() == existing


@pytest.mark.parametrize("append", [False, True])
def test_second_writer_of_a_file_is_refused(path: Path, append: bool) -> None:
    path.write_text("{old\n")
    with LineWriter(str(path), append=True, flush_s=0) as writer:
        writer.start("{")
        with pytest.raises(OutputError, match="another run is writing this file"):
            LineWriter(str(path), append=append).__enter__()
        writer.write("{new\n")
    assert path.read_text() == "{old\n{new\n"
    with LineWriter(str(path), append=True):
        pass


def test_file_system_without_locks_is_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    with started_writer(path) as writer:
        writer.write("a\n")
    assert path.read_text() == "a\n"


def test_file_renamed_before_it_is_locked_is_reopened(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lock_after_rename(_: int) -> bool:
        if not path.with_name("part").exists():
            path.rename(path.with_name("part"))
        return True

    monkeypatch.setattr(line_file, "try_lock", lock_after_rename)
    with started_writer(path) as writer:
        writer.write("a\n")
    assert (path.read_text(), path.with_name("part").read_text()) == ("a\n", "")


def test_only_the_commit_replaces_existing_content(path: Path) -> None:
    path.write_text("old\n")
    with LineWriter(str(path), flush_s=0) as writer:
        assert path.read_text() == "old\n"
        writer.start("{")
        writer.write("{header\n")
        assert path.read_text() == "old\n"
        writer.commit()
        assert path.read_text() == "{header\n"
    assert path.read_text() == "{header\n"


def fail_after(writer: LineWriter, *calls: Callable[[], object]) -> None:
    with suppress(ZeroDivisionError), writer:
        for call in calls:
            call()
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("existing", "append", "started", "left"),
    [
        pytest.param("{old\n{torn", False, True, "{old\n{torn", id="replace"),
        pytest.param("{old\n{torn", True, True, "{old\n{new\n", id="append"),
        pytest.param("{old\n{torn", True, False, "{old\n{torn", id="append-before-start"),
        pytest.param("", False, True, "{new\n", id="empty"),
        pytest.param(None, False, True, "{new\n", id="new"),
        pytest.param(None, False, False, None, id="new-before-start"),
        pytest.param(None, True, False, None, id="append-to-new-before-start"),
    ],
)
def test_error_before_the_first_frame(
    path: Path, existing: str | None, append: bool, started: bool, left: str | None
) -> None:
    if existing is not None:
        path.write_text(existing)
    writer = LineWriter(str(path), append=append, flush_s=0)
    calls = (lambda: writer.start("{"), lambda: writer.write("{new\n")) if started else ()
    fail_after(writer, *calls)
    assert (path.read_text() if path.exists() else None) == left


def test_close_without_an_error_commits(path: Path) -> None:
    path.write_text("old\n")
    with LineWriter(str(path)) as writer:
        writer.start("{")
        writer.write("{header\n")
    assert path.read_text() == "{header\n"


def test_lines_held_before_the_commit_are_bounded(path: Path) -> None:
    path.write_text("old\n")
    with LineWriter(str(path)) as writer:
        writer.start("{")
        writer.write("{header\n")
        for number in range(5000):
            writer.write(f"{number}\n")
        writer.commit()
    lines = path.read_text().splitlines()
    assert (lines[0], lines[-1], len(lines)) == ("{header", "4999", line_writer._HELD_LINES)


def test_unused_target_of_a_symbolic_link_is_removed(path: Path) -> None:
    path.symlink_to(path.with_name("target"))
    fail_after(LineWriter(str(path)))
    assert path.is_symlink()
    assert not path.exists()


def test_finished_part_has_all_its_lines(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1_767_787_199.0]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    with started_writer(path, flush_s=NEVER_S, rotation=Rotation(every_s=60)) as writer:
        writer.write("a\n")
        assert not writer.due
        clock[0] += 1
        assert writer.due
        writer.split()
        assert not writer.due
        writer.write("b\n")
    assert {file.name: file.read_text() for file in path.parent.iterdir()} == {
        "x-20260107T120000Z.jsonl": "a\n",
        "x.jsonl": "b\n",
    }


def test_buffered_lines_count_towards_the_size(path: Path) -> None:
    with started_writer(path, flush_s=NEVER_S, rotation=Rotation(1000)) as writer:
        writer.write("x" * 998 + "\n")
        assert not writer.due
        writer.write("\n")
        assert writer.due


def test_append_archives_a_file_from_an_earlier_hour(path: Path) -> None:
    path.write_text("{old\n")
    os.utime(path, (0, 1_767_787_199))
    with LineWriter(str(path), append=True, rotation=Rotation(every_s=3600)) as writer:
        assert writer.start("{") is False
        writer.write("{new\n")
    assert path.read_text() == "{new\n"
    assert (path.parent / "x-20260107T115959Z.jsonl").read_text() == "{old\n"


def test_symbolic_link_stays_in_place(path: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    path.symlink_to(tmp_path / "disk" / "real.jsonl")
    with started_writer(path, rotation=Rotation(1000)) as writer:
        writer.write("a\n")
        writer.split()
        writer.write("b\n")
    assert path.is_symlink()
    assert sorted(file.read_text() for file in (tmp_path / "disk").iterdir()) == ["a\n", "b\n"]


def test_part_that_cannot_be_renamed_keeps_its_lines(path: Path) -> None:
    with started_writer(path, rotation=Rotation(1000)) as writer:
        writer.write("a\n")
        moved = path.rename(path.with_suffix(".moved"))
        with pytest.raises(OutputError, match="cannot be renamed"):
            writer.split()
    assert moved.read_text() == "a\n"
