"""Output options of the command: splitting, appending, and a full disk."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.patience import PATIENCE


def edgeinfer(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgeinfer", "run", *map(str, arguments), "--detector", "none", "--quiet"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60 * PATIENCE, check=False)


def read(path: Path) -> list[dict[str, Any]]:
    text = path.read_text()
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_second_run_continues_split_files(clip: Path, tmp_path: Path) -> None:
    options = ["--split-size", "4kB", "--split-every", "1000d", "--keep", "3", "--append"]
    for _ in range(2):
        done = edgeinfer(clip, "--out", tmp_path / "x.jsonl", "--out", tmp_path / "y.csv", *options)
        assert (done.returncode, done.stderr) == (0, "")
    parts = sorted(tmp_path.glob("x-*.jsonl"))
    assert len(parts) == 3
    for path in parts:
        kinds = [line["type"] for line in read(path)]
        assert (kinds[0], kinds[-1]) == ("header", "summary")
    assert read(tmp_path / "x.jsonl")[-2]["frame"] == 24
    rows = [row for path in (*tmp_path.glob("y-*.csv"), tmp_path / "y.csv") for row in path.read_text().splitlines()]
    assert sum(row.startswith("24,") for row in rows) == 2, "expected one row for the last frame of each run"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(["--split-size", "lots"], "invalid size 'lots'", id="size"),
        pytest.param(["--split-every", "0s"], "expected 1 s or more", id="time"),
        pytest.param(["--keep", "3"], "set --split-size or --split-every", id="keep-alone"),
    ],
)
def test_invalid_rotation_exits_with_2(clip: Path, tmp_path: Path, options: list[str], message: str) -> None:
    done = edgeinfer(clip, "--out", tmp_path / "x.jsonl", *options)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr
    assert not (tmp_path / "x.jsonl").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A 32 kB file system."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("the command mount is not installed")
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv"])
def test_full_disk_exits_with_6_and_keeps_complete_lines(small_disk: Path, name: str) -> None:
    path = small_disk / name
    (small_disk / "other").write_bytes(bytes(26_000))
    done = edgeinfer("--out", path, "--split-size", "1MB")
    assert done.returncode == 6, done.stderr
    assert done.stderr.startswith(f"edgeinfer: cannot write {path}: No space left on device")
    assert done.stderr.count("\n") == 1
    text = path.read_text()
    assert text.endswith("\n")
    columns = len(text.splitlines()[0].split(","))
    assert [line for line in text.splitlines() if not _is_complete(line, columns)] == []
    assert len(text.splitlines()) > 3


def test_video_on_a_full_disk_exits_with_6(small_disk: Path) -> None:
    done = edgeinfer("--save-video", small_disk / "x.mp4")
    assert done.returncode == 6, done.stderr
    if importlib.util.find_spec("av") is None:  # OpenCV's writer reports no errors
        assert "x.mp4 is incomplete; free disk space" in done.stderr
    else:
        assert done.stderr == f"edgeinfer: cannot write the video {small_disk / 'x.mp4'}: No space left on device\n"


def test_snapshots_on_a_full_disk_exit_with_6(small_disk: Path) -> None:
    (small_disk / "other").write_bytes(bytes(28_000))
    done = edgeinfer("--snapshots", small_disk / "shots", "--max-frames", "3")
    assert done.returncode == 6, done.stderr
    assert done.stderr.startswith("edgeinfer: cannot write a snapshot to")
    assert "No space left on device" in done.stderr
    assert list((small_disk / "shots").iterdir()) == []


@pytest.mark.parametrize("option", ["--out", "--snapshots"])
def test_read_only_file_system_exits_with_6(small_disk: Path, option: str) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = edgeinfer(option, small_disk / "x.csv")
    assert (done.returncode, done.stderr.count("\n")) == (6, 1)
    assert list(small_disk.iterdir()) == []


def _is_complete(line: str, columns: int) -> bool:
    return line.count(",") == columns - 1 if line[0] != "{" else bool(json.loads(line))
