from __future__ import annotations

import errno
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgeinfer import OutputError, Rotation, UsageError
from edgeinfer.outputs import line_writer as lines
from edgeinfer.outputs.line_writer import LineWriter
from tools.patience import PATIENCE

NEVER_S = 3600.0


def eventually(condition: Callable[..., bool], *arguments: object) -> None:
    """Wait for what another thread or program does."""
    deadline = time.monotonic() + 30 * PATIENCE
    while not condition(*arguments):
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.jsonl"


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes: of a write the first part goes in, as on a full disk.

    It ends within the test, since the file that pytest itself may write to is of this process, too.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def started(path: Path, **options: Any) -> LineWriter:
    out = LineWriter(str(path), **options)
    out.start("{")
    return out


def test_lines_wait_for_each_other_and_are_there_when_closed(path: Path) -> None:
    out = started(path, flush_s=NEVER_S)
    out.write("a\n")
    out.write("b\nc\n")
    assert path.read_text() == ""
    out.close()
    assert path.read_text() == "a\nb\nc\n"


def test_a_line_that_no_other_follows_does_not_wait_for_ever(path: Path) -> None:
    out = started(path, flush_s=0.02)
    for text in ("a\n", "b\n"):
        out.write(text)
        eventually(lambda end: path.read_text().endswith(end), text)
    out.close()
    assert path.read_text() == "a\nb\n"


def test_what_waits_is_bounded(path: Path) -> None:
    out = started(path, flush_s=NEVER_S)
    for _ in range(100):
        out.write("x" * 999 + "\n")
    assert 100_000 - path.stat().st_size < 1 << 16
    out.close()


def test_no_time_to_wait_writes_at_once(path: Path) -> None:
    out = started(path, flush_s=0)
    out.write("a\n")
    assert path.read_text() == "a\n"
    out.close()


@pytest.mark.parametrize("flush_s", [-1.0, float("nan"), float("inf")])
def test_a_time_to_wait_that_is_none(path: Path, flush_s: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 3600"):
        LineWriter(str(path), flush_s=flush_s)
    assert not path.exists()


def test_a_pipe_gets_every_line_at_once(path: Path) -> None:
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    out = started(path, flush_s=NEVER_S, append=True, rotation=Rotation(1000))
    out.write("a\n")
    assert os.read(reader, 100) == b"a\n"
    assert not out.due
    os.close(reader)
    with pytest.raises(OutputError, match="Broken pipe"):
        out.write("b\n")
    out.close()


def test_a_slow_reader_of_a_pipe_that_does_not_block(path: Path) -> None:
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    out, text = LineWriter(str(path)), "x" * 300_000 + "\n"
    os.set_blocking(out._file.fileno(), False)
    writer = threading.Thread(target=out.write, args=[text])
    writer.start()
    read = bytearray()
    while len(read) < len(text):
        try:
            read += os.read(reader, 1 << 16)
        except BlockingIOError:
            time.sleep(0.001)
    writer.join()
    assert read.decode() == text
    out.close()
    os.close(reader)


@pytest.mark.parametrize("room", [0, 1, 49, 50, 51, 4090, 4096, 4149, 9999])
def test_a_full_disk_keeps_every_whole_line(path: Path, room: int) -> None:
    out = started(path, flush_s=NEVER_S)
    for number in range(200):
        out.write(f"{number:049}\n")
    with small_disk(room), pytest.raises(OutputError, match=os.strerror(errno.EFBIG)):
        out.close()
    assert path.read_text() == "".join(f"{number:049}\n" for number in range(room // 50))


@pytest.mark.parametrize("told_by", ["write", "close"])
def test_an_error_in_the_background_is_told_once(path: Path, told_by: str) -> None:
    out = started(path, flush_s=0.01)
    with small_disk(3):
        out.write("a\nbc\n")
        eventually(lambda: out._late_error is not None)
    with pytest.raises(OutputError, match="what was written before is kept"):
        out.write("d\n") if told_by == "write" else out.close()
    out.close()
    assert path.read_text() == "a\n"


class Interrupting:
    """A file whose write a signal breaks off when all of it, or a part, is in the file."""

    def __init__(self, file: Any, part: slice) -> None:
        self._file, self._part = file, part

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: bytes) -> int:
        self._file.write(data[self._part])
        raise KeyboardInterrupt


@pytest.mark.parametrize("part", [slice(0), slice(3), slice(None)], ids=["nothing", "a-part", "all"])
def test_a_signal_during_a_write_neither_doubles_nor_tears_lines(path: Path, part: slice) -> None:
    out = started(path, flush_s=0)
    out.write("first\n")
    whole, out._file = out._file, Interrupting(out._file, part)  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        out.write("second\n")
    out._file = whole
    out.write("third\n")
    out.close()
    assert path.read_text() == "first\nsecond\nthird\n"


def test_blocks_end_where_pages_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_PAGE", 10)
    data = b"aaa\nbbb\ncccccccccccc\nd\ne\n"
    assert list(lines._blocks(data, 0)) == [b"aaa\nbbb\n", b"cccccccccccc\n", b"d\ne\n"]
    assert list(lines._blocks(data, 8)) == [b"aaa\n", b"bbb\n", b"cccccccccccc\n", b"d\n", b"e\n"]


@pytest.mark.parametrize(
    ("older", "continued", "left"),
    [
        pytest.param(b"", False, b"", id="empty"),
        pytest.param(b"{1\n{2\n", True, b"{1\n{2\n", id="whole"),
        pytest.param(b"{1\n{2\n{3", True, b"{1\n{2\n", id="torn"),
        pytest.param(b"{1\n" + bytes(200_000), True, b"{1\n", id="zeros-after-a-power-cut"),
        pytest.param(b"{1", False, b"", id="torn-first-line"),
        pytest.param(b"x" * 200_000, False, b"", id="no-line-at-all"),
    ],
)
def test_an_older_file_is_continued_after_its_last_whole_line(
    path: Path, older: bytes, continued: bool, left: bytes
) -> None:
    path.write_bytes(older)
    out = LineWriter(str(path), append=True)
    assert path.read_bytes() == older
    assert out.start("{") is continued
    out.write("{new\n")
    out.close()
    assert path.read_bytes() == left + b"{new\n"


def test_a_file_of_something_else_is_not_touched(path: Path) -> None:
    path.write_text("dear diary\ntoday")
    out = LineWriter(str(path), append=True)
    with pytest.raises(OutputError, match="cannot continue"):
        out.start("{")
    out.close()
    assert path.read_text() == "dear diary\ntoday"


def test_without_append_an_older_file_is_emptied_by_the_start_only(path: Path) -> None:
    path.write_text("old\n")
    out = LineWriter(str(path))
    assert path.read_text() == "old\n"
    out.start("{")
    out.close()
    assert path.read_text() == ""


def test_a_part_is_filed_away_with_all_its_lines(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1_767_787_199.0]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    out = started(path, flush_s=NEVER_S, rotation=Rotation(every_s=60))
    out.write("a\n")
    assert not out.due
    clock[0] += 1
    assert out.due
    out.split()
    assert not out.due
    out.write("b\n")
    out.close()
    assert {file.name: file.read_text() for file in path.parent.iterdir()} == {
        "x-20260107T120000Z.jsonl": "a\n",
        "x.jsonl": "b\n",
    }


def test_lines_that_wait_count_for_the_size(path: Path) -> None:
    out = started(path, flush_s=NEVER_S, rotation=Rotation(1000))
    out.write("x" * 998 + "\n")
    assert not out.due
    out.write("\n")
    assert out.due
    out.close()


def test_a_continued_file_of_an_earlier_hour_is_filed_away_first(path: Path) -> None:
    path.write_text("{old\n")
    os.utime(path, (0, 1_767_787_199))
    out = LineWriter(str(path), append=True, rotation=Rotation(every_s=3600))
    assert out.start("{") is False
    out.write("{new\n")
    out.close()
    assert path.read_text() == "{new\n"
    assert (path.parent / "x-20260107T115959Z.jsonl").read_text() == "{old\n"


def test_a_link_stays_where_it_is(path: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    path.symlink_to(tmp_path / "disk" / "real.jsonl")
    out = started(path, rotation=Rotation(1000))
    out.write("a\n")
    out.split()
    out.write("b\n")
    out.close()
    assert path.is_symlink()
    assert sorted(file.read_text() for file in (tmp_path / "disk").iterdir()) == ["a\n", "b\n"]


def test_a_part_that_cannot_be_renamed_keeps_its_lines(path: Path) -> None:
    out = started(path, rotation=Rotation(1000))
    out.write("a\n")
    moved = path.rename(path.with_suffix(".moved"))
    with pytest.raises(OutputError, match="could not be filed away"):
        out.split()
    out.close()
    assert moved.read_text() == "a\n"


WRITER = """
import sys, time
from edgeinfer.outputs.line_writer import LineWriter
out = LineWriter(sys.argv[1], append=True, flush_s=0.003)
out.start("{")
for number in range(10**9):
    out.write("{" + str(number) * 80 + "}\\n")
    time.sleep(0.0005)
"""


def test_a_kill_at_any_moment_leaves_whole_lines(path: Path) -> None:
    chance = random.Random(7)
    for _ in range(3):
        enough = (path.stat().st_size if path.exists() else 0) + chance.randrange(1, 50_000)
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)])
        try:
            eventually(lambda size: path.exists() and path.stat().st_size > size, enough)
        finally:
            writer.kill()
        assert writer.wait() == -signal.SIGKILL
        data = path.read_bytes()
        assert data.endswith(b"}\n")
        assert all(line.startswith(b"{") and line.endswith(b"}") for line in data.splitlines())
