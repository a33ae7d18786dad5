"""Tests of the locks of a batch's folder, and of shards in one folder."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from edgeinfer.batch.table import Shard, shard_of
from edgeinfer.errors import OutputError
from tools.batch_sources import FAILED, Batch, commit, source

HOLDER = """
import sys
from pathlib import Path
from edgeinfer.batch.state import BatchState
shard = tuple(map(int, sys.argv[2].split("/"))) if sys.argv[2] else None
with BatchState(Path(sys.argv[1]), settings_key="a", formats=("csv",), shard=shard):
    print("locked", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(out: Path, shard: Shard | None) -> Iterator[subprocess.Popen[str]]:
    """Run a process that has locked a folder or a shard of it."""
    part = "" if shard is None else f"{shard[0]}/{shard[1]}"
    command = [sys.executable, "-c", HOLDER, str(out), part]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


@pytest.mark.parametrize(
    ("first", "excluded", "allowed"),
    [
        pytest.param(None, [None, (1, 2)], [], id="whole batch"),
        pytest.param((1, 2), [None, (1, 2)], [(2, 2)], id="shard"),
    ],
)
def test_second_batch_is_refused_until_the_first_is_killed(
    tmp_path: Path, first: Shard | None, excluded: list[Shard | None], allowed: list[Shard]
) -> None:
    batch = Batch(tmp_path)
    with holder(batch.out, first) as process:
        for shard in excluded:
            with pytest.raises(OutputError, match=r"another batch is writing to .*out: wait") as refused:
                replace(batch, shard=shard).pending([])
            assert refused.value.exit_code == 6
        for shard in allowed:
            replace(batch, shard=shard).pending([])
        process.send_signal(signal.SIGKILL)
        process.wait()
        for shard in excluded:
            replace(batch, shard=shard).pending([])


def test_file_system_without_locks_is_treated_as_unlocked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    batch = Batch(tmp_path)
    with batch.state():
        assert batch.pending([source(tmp_path, "a.mp4")]) == ["a.mp4"]


def test_each_source_is_in_one_shard_and_the_same_one_everywhere() -> None:
    paths = [f"folder/{number}.mp4" for number in range(3000)]
    counts = [sum(shard_of(path, 3) == number for path in paths) for number in (1, 2, 3)]
    assert sum(counts) == 3000
    assert min(counts) > 900
    assert [shard_of(path, 1000) for path in ("a.mp4", "b/ä.jpg", "c/\udce9/pictures")] == [849, 902, 461]


def test_shards_share_a_folder(tmp_path: Path) -> None:
    sources = [source(tmp_path, f"{number}.mp4") for number in range(12)]
    first, second = Batch(tmp_path, shard=(1, 2)), Batch(tmp_path, shard=(2, 2))
    with first.state() as one, second.state() as two:
        parts = [one.pending(sources), two.pending(sources)]
        assert sorted(item.path for part in parts for item in part) == sorted(item.path for item in sources)
        for item in parts[0]:
            commit(one, item, first)
        one.write_table(force=True)
        for item in parts[1]:
            commit(two, item, second)
        two.write_table(force=True)
    for number, part in enumerate(parts, 1):
        assert [row["source"] for row in first.rows(f"batch.{number}-of-2.csv")] == [item.path for item in part]
    assert [row["source"] for row in first.rows()] == [item.path for item in sources]
    # Another division, or none, finds all results.
    assert Batch(tmp_path).pending(sources) == []
    assert Batch(tmp_path, shard=(2, 3)).process(sources) == []
    third = [item.path for item in sources if shard_of(item.path, 3) == 2]
    assert [row["source"] for row in first.rows("batch.2-of-3.csv")] == third


def test_name_given_by_another_shard_is_kept(tmp_path: Path) -> None:
    item = replace(source(tmp_path, "a.mp4"), result="a.mp4")
    number = shard_of("a.mp4", 2)
    Batch(tmp_path, shard=(number, 2)).process([item])
    with Batch(tmp_path, shard=(3 - number, 2)).state() as state:
        assert dict(state.names) == {"a.mp4": "a.mp4"}


def test_failure_of_another_shard_is_in_the_table_but_is_not_retried_here(tmp_path: Path) -> None:
    sources = [source(tmp_path, f"{number}.mp4") for number in range(8)]
    failed = Batch(tmp_path, shard=(1, 2)).process(sources, outcome=FAILED)
    other = Batch(tmp_path, shard=(2, 2))
    done = other.process(sources)
    assert {row["source"]: row["status"] for row in other.rows()} == {
        **dict.fromkeys(failed, "failed"),
        **dict.fromkeys(done, "done"),
    }
    assert Batch(tmp_path).pending(sources) == failed
