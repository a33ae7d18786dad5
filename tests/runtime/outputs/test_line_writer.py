"""Buffering and crash safety of line-wise output."""

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
from edgeinfer.outputs import line_file
from edgeinfer.outputs.line_writer import LineWriter
from tools.patience import PATIENCE

NEVER_S = 3600.0


def wait_until(condition: Callable[..., bool], *arguments: object) -> None:
    """Wait for a condition that another thread or process fulfils."""
    deadline = time.monotonic() + 30 * PATIENCE
    while not condition(*arguments):
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.jsonl"


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Limit the size of files that this process writes; a write across the limit is partial, as on a full disk.

    The limit is lifted within the test, because it also affects files that pytest writes.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def started_writer(path: Path, **options: Any) -> Iterator[LineWriter]:
    """Open a writer and commit, as a sink does with the first frame."""
    with LineWriter(str(path), **options) as writer:
        writer.start("{")
        writer.commit()
        yield writer


def test_lines_are_buffered_until_the_writer_closes(path: Path) -> None:
    with started_writer(path, flush_s=NEVER_S) as writer:
        writer.write("a\n")
        writer.write("b\nc\n")
        assert path.read_text() == ""
    assert path.read_text() == "a\nb\nc\n"


def test_timer_flushes_a_line_that_no_other_line_follows(path: Path) -> None:
    with started_writer(path, flush_s=0.02) as writer:
        for text in ("a\n", "b\n"):
            writer.write(text)
            wait_until(lambda end: path.read_text().endswith(end), text)
    assert path.read_text() == "a\nb\n"


def test_buffer_is_bounded(path: Path) -> None:
    with started_writer(path, flush_s=NEVER_S) as writer:
        for _ in range(100):
            writer.write("x" * 999 + "\n")
        assert 100_000 - path.stat().st_size < 1 << 16


def test_flush_s_of_zero_writes_immediately(path: Path) -> None:
    with started_writer(path, flush_s=0) as writer:
        writer.write("a\n")
        assert path.read_text() == "a\n"


@pytest.mark.parametrize("flush_s", [-1.0, float("nan"), float("inf")])
def test_invalid_flush_s_is_rejected(path: Path, flush_s: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 3600"):
        LineWriter(str(path), flush_s=flush_s)
    assert not path.exists()


def test_pipe_receives_every_line_immediately(path: Path) -> None:
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with LineWriter(str(path), flush_s=NEVER_S, append=True, rotation=Rotation(1000)) as writer:
        writer.start("{")
        writer.write("a\n")
        assert os.read(reader, 100) == b"a\n"
        assert not writer.due
        os.close(reader)
        with pytest.raises(OutputError, match="Broken pipe"):
            writer.write("b\n")


def test_non_blocking_pipe_with_a_slow_reader(path: Path) -> None:
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    text = "x" * 300_000 + "\n"
    with LineWriter(str(path)) as writer:
        os.set_blocking(writer._file.fileno(), False)
        thread = threading.Thread(target=writer.write, args=[text])
        thread.start()
        read = bytearray()
        while len(read) < len(text):
            try:
                read += os.read(reader, 1 << 16)
            except BlockingIOError:
                time.sleep(0.001)
        thread.join()
    assert read.decode() == text
    os.close(reader)


@pytest.mark.parametrize("room", [0, 1, 49, 50, 51, 4090, 4096, 4149, 9999])
def test_full_disk_keeps_every_complete_line(path: Path, room: int) -> None:
    writer = LineWriter(str(path), flush_s=NEVER_S).__enter__()
    writer.commit()
    for number in range(200):
        writer.write(f"{number:049}\n")
    with file_size_limit(room), pytest.raises(OutputError, match=os.strerror(errno.EFBIG)):
        writer.__exit__(None)
    assert path.read_text() == "".join(f"{number:049}\n" for number in range(room // 50))


@pytest.mark.parametrize("raised_by", ["write", "close"])
def test_background_error_is_raised_once(path: Path, raised_by: str) -> None:
    writer = LineWriter(str(path), flush_s=0.01).__enter__()
    writer.commit()
    with file_size_limit(3):
        writer.write("a\nbc\n")
        wait_until(lambda: writer._late_error is not None)
    with pytest.raises(OutputError, match="lines written so far are kept"):
        writer.write("d\n") if raised_by == "write" else writer.__exit__(None)
    writer.__exit__(None)
    assert path.read_text() == "a\n"


class InterruptedFile:
    """File whose write raises KeyboardInterrupt after a part of the data, or all of it, has been written."""

    def __init__(self, file: Any, part: slice) -> None:
        self._file, self._part = file, part

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: bytes) -> int:
        self._file.write(data[self._part])
        raise KeyboardInterrupt


@pytest.mark.parametrize("part", [slice(0), slice(3), slice(None)], ids=["nothing", "a-part", "all"])
def test_signal_during_a_write_neither_duplicates_nor_truncates_lines(path: Path, part: slice) -> None:
    with started_writer(path, flush_s=0) as writer:
        writer.write("first\n")
        file, writer._file = writer._file, InterruptedFile(writer._file, part)  # type: ignore[assignment]
        with pytest.raises(KeyboardInterrupt):
            writer.write("second\n")
        writer._file = file
        writer.write("third\n")
    assert path.read_text() == "first\nsecond\nthird\n"


def test_blocks_end_at_page_boundaries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_file, "PAGE_BYTES", 10)
    data = b"aaa\nbbb\ncccccccccccc\nd\ne\n"
    assert list(line_file.blocks(data, 0)) == [b"aaa\nbbb\n", b"cccccccccccc\n", b"d\ne\n"]
    assert list(line_file.blocks(data, 8)) == [b"aaa\n", b"bbb\n", b"cccccccccccc\n", b"d\n", b"e\n"]


def test_records_of_several_lines_are_kept_together(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setattr(line_file, "PAGE_BYTES", 10)
    data = b"a\nb\n\nccc\ncccccc\n\nd\n\n"
    assert list(line_file.blocks(data, 0, b"\n\n")) == [b"a\nb\n\n", b"ccc\ncccccc\n\n", b"d\n\n"]
    monkeypatch.setattr(line_file, "BUFFER_BYTES", 3)
    for torn in (b"", b"e", b"e\n", b"e\nf\n"):
        path.write_bytes(data + torn)
        with path.open("rb") as file:
            assert line_file.complete_records_bytes(file, b"\n\n") == len(data)


def delete_between_lines(path: Path, *later: str) -> None:
    with started_writer(path, flush_s=0) as writer:
        writer.write("a\n")
        path.unlink()
        for line in later:
            writer.write(line)


@pytest.mark.parametrize("later", [("b\n",), ()], ids=["at-the-next-line", "at-the-close"])
def test_deleted_file_is_reported(path: Path, later: tuple[str, ...]) -> None:
    with pytest.raises(OutputError, match="was deleted during the run"):
        delete_between_lines(path, *later)


def test_renamed_file_is_written_to_its_end(path: Path) -> None:
    with started_writer(path, flush_s=0) as writer:
        writer.write("a\n")
        path.rename(path.with_name("moved"))
        writer.write("b\n")
    assert path.with_name("moved").read_text() == "a\nb\n"


WRITER = """
import sys, time
from edgeinfer.outputs.line_writer import LineWriter
with LineWriter(sys.argv[1], append=True, flush_s=0.003) as writer:
    writer.start("{")
    writer.commit()
    for number in range(10**9):
        writer.write("{" + str(number) * 80 + "}\\n")
        time.sleep(0.0005)
"""


def test_killed_process_leaves_complete_lines(path: Path) -> None:
    generator = random.Random(7)
    for _ in range(3):
        target_size = (path.stat().st_size if path.exists() else 0) + generator.randrange(1, 50_000)
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)])
        try:
            wait_until(lambda size: path.exists() and path.stat().st_size > size, target_size)
        finally:
            writer.kill()
        assert writer.wait() == -signal.SIGKILL
        data = path.read_bytes()
        assert data.endswith(b"}\n")
        assert all(line.startswith(b"{") and line.endswith(b"}") for line in data.splitlines())
