"""Tests of a batch whose processes are killed at seeded moments: the results are those of an undisturbed batch."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from edgeinfer.results import Image
from tools.batch_jobs import write_clip, write_pictures
from tools.patience import PATIENCE, until

KILLS = 10
CHUNK = "3"
TIMES = ("elapsed_s", "fps", "stages_ms")


@pytest.fixture(scope="module")
def sources(clip: Path, portrait: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of four short clips, one damaged clip and two folders of pictures, one of them with an unreadable one."""
    folder = tmp_path_factory.mktemp("sources")
    for number in range(4):
        write_clip(folder / f"{number}.mp4", clip, 8 + number, first=3 * number)
    (folder / "damaged.mp4").write_text("text")
    write_pictures(folder / "many", portrait, 10)
    (folder / "many" / "5.png").write_text("text")
    write_pictures(folder / "few", portrait, 3)
    return folder


@pytest.fixture(scope="module")
def expected(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Results of an undisturbed batch."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    with batch(sources, out) as process:
        assert process.wait(60 * PATIENCE) == 8
    found = rows(out)
    assert len(found) == 2 * 6 + 1
    return found


@contextmanager
def batch(sources: Path, out: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run a batch in its own process group; it is killed at the end of the block if it still runs."""
    command = [sys.executable, "-m", "tools.batch_program", CHUNK, "batch", str(sources), "--out", str(out)]
    command += ["--format", "csv", "--format", "jsonl", "--quiet", "--workers", "2", *options]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, env=environment, cwd=out.parent, text=True, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


def rows(out: Path) -> dict[str, Any]:
    """Return the rows of all results and of the table, without times; there must be no other files."""
    found: dict[str, Any] = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if path.is_dir() or name.startswith(".edgeinfer/"):
            continue
        assert not path.name.startswith("."), f"left behind: {name}"
        if path.suffix == ".csv":
            with path.open(newline="") as file:
                values: list[dict[str, Any]] = list(csv.DictReader(file))
        else:
            values = [json.loads(line) for line in path.read_text().splitlines()]
        found[name] = [{key: value for key, value in row.items() if key not in TIMES} for row in values]
    return found


def workers_of(process: int) -> list[int]:
    """Return the worker processes of a batch."""
    found = []
    with suppress(OSError):
        for number in Path(f"/proc/{process}/task/{process}/children").read_text().split():
            if b"spawn_main" in Path(f"/proc/{number}/cmdline").read_bytes():
                found.append(int(number))
    return found


def group(process: int) -> list[int]:
    """Return the living processes in the group of a process."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, number = path.read_text().rpartition(")")[2].split()[:3]
            if int(number) == process and state != "Z":
                found.append(int(path.parent.name))
    return found


def commits(out: Path) -> int:
    """Return the number of committed sources and chunks."""
    manifests = [out / ".edgeinfer" / "manifest.jsonl", *(out / ".edgeinfer" / "chunks").glob("*/*.jsonl")]
    total = 0
    for path in manifests:
        with suppress(OSError):
            total += path.read_bytes().count(b"\n")
    return total


def committed_files(out: Path) -> dict[Path, tuple[int, int]]:
    """Return the inode and the modification time of each result of a source that is committed and up to date."""
    entries: dict[str, Any] = {}
    with suppress(OSError):
        for line in (out / ".edgeinfer" / "manifest.jsonl").read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                entry = json.loads(line)
                entries[entry["source"]] = entry
    found = {}
    for entry in entries.values():
        for suffix in entry["formats"] if entry["settings"] else ():
            path = out / f"{entry['result']}.{suffix}"
            found[path] = (path.stat().st_ino, path.stat().st_mtime_ns)
    return found


def wait_for_moment(process: subprocess.Popen[str], out: Path, moment: random.Random) -> None:
    """Wait until a few more sources are committed, and a little longer, or until the batch has ended."""
    before = commits(out)
    target = before + moment.randrange(3)
    until(lambda: commits(out) >= target or process.poll() is not None)
    time.sleep(moment.uniform(0, 0.05 if target > before else 0.8))  # the start of a process takes most of its time


def wait_for_end(process: subprocess.Popen[str]) -> None:
    """Wait until no process of a batch is left; the workers end with their parent."""
    until(lambda: not group(process.pid))


@pytest.mark.slow
def test_killed_workers(sources: Path, expected: dict[str, Any], tmp_path: Path) -> None:
    moment = random.Random(1)
    out, kills = tmp_path / "out", 0
    while kills < KILLS:
        with batch(sources, out, "--fresh") as process:
            while kills < KILLS and process.poll() is None:
                wait_for_moment(process, out, moment)
                until(lambda: workers_of(process.pid) or process.poll() is not None)
                if workers := workers_of(process.pid):
                    with suppress(ProcessLookupError):
                        os.kill(moment.choice(workers), signal.SIGKILL)
                        kills += 1
            assert process.wait(60 * PATIENCE) == 8
    with batch(sources, out) as process:  # a source whose worker was killed twice has failed
        assert process.wait(60 * PATIENCE) == 8
    assert rows(out) == expected


@pytest.mark.slow
@pytest.mark.parametrize("with_worker", [False, True], ids=["parent", "parent and worker"])
def test_killed_parents(sources: Path, expected: dict[str, Any], tmp_path: Path, with_worker: bool) -> None:
    moment = random.Random(2)
    out, kills, options = tmp_path / "out", 0, ["--workers", "1"]
    while kills < KILLS:
        before = {} if "--fresh" in options else committed_files(out)
        with batch(sources, out, *options) as process:
            wait_for_moment(process, out, moment)
            victims = workers_of(process.pid) if with_worker else []
            for victim in (*victims, process.pid):
                with suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
        wait_for_end(process)
        assert before.items() <= committed_files(out).items()
        killed = process.returncode == -signal.SIGKILL
        kills += killed
        options = ["--workers", "1"] if killed else ["--workers", "1", "--fresh"]
    with batch(sources, out) as process:
        assert process.wait(60 * PATIENCE) == 8
    assert rows(out) == expected


@pytest.mark.slow
def test_interrupted_batch(sources: Path, expected: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "out"
    with batch(sources, out) as process:
        until(lambda: commits(out) or process.poll() is not None)
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does on a terminal
        assert process.wait(60 * PATIENCE) == 130
    wait_for_end(process)
    done = rows(out)
    assert set(done) < set(expected)
    assert all(row in expected["batch.csv"] for row in done["batch.csv"])
    assert all(done[name] == expected[name] for name in done if name != "batch.csv")
    assert not list((out / ".edgeinfer").rglob(".partial.*"))
    with batch(sources, out) as process:
        assert process.wait(60 * PATIENCE) == 8
    assert rows(out) == expected
