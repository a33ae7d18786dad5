"""Tests of the manifests of a batch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edgeinfer.batch import manifest
from edgeinfer.batch.jobs import Outcome
from edgeinfer.batch.manifest import Entry, Manifests

ENTRY = Entry("a.mp4", "a", "key", "print", "", ("csv",), None, Outcome("done", "", 3, 2, 1, 0.1, 0.2), 1000.0)


def opened(folder: Path, name: str = "manifest.jsonl") -> Manifests:
    manifests = Manifests(folder, name)
    manifests.open()
    return manifests


def written(folder: Path, *entries: Entry, name: str = "manifest.jsonl") -> None:
    (folder / name).write_bytes(b"".join(entry.to_line() for entry in entries))


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(ENTRY, id="plain"),
        pytest.param(replace(ENTRY, source="caf\udce9\n\"'.mp4", result="caf\udce9"), id="unusual name"),
        pytest.param(replace(ENTRY, formats=("csv", "parquet"), copies=12, content="c"), id="all fields"),
        pytest.param(replace(ENTRY, formats=(), outcome=Outcome("failed", "é")), id="failed"),
    ],
)
def test_entry_survives_writing_and_reading(tmp_path: Path, entry: Entry) -> None:
    first = opened(tmp_path)
    first.append([entry])
    stored = replace(entry, finished_s=first[entry.source].finished_s)
    assert first[entry.source] == stored
    assert dict(opened(tmp_path)) == {entry.source: stored}


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"\n", id="empty"),
        pytest.param(b"\x00" * 100 + b"\n", id="zeros"),
        pytest.param(b"\xff\xfe\n", id="not ASCII"),
        pytest.param(b"[]\n", id="list"),
        pytest.param(b"1\n", id="number"),
        pytest.param(b"{}\n", id="no fields"),
        pytest.param(ENTRY.to_line()[:80] + b"\n", id="cut"),
        pytest.param(ENTRY.to_line()[:-1] + ENTRY.to_line(), id="two entries in one line"),
        pytest.param(ENTRY.to_line().replace(b'"done"', b'"started"'), id="unknown status"),
        pytest.param(ENTRY.to_line().replace(b'"frames":3', b'"frames":"3"'), id="text instead of a number"),
        pytest.param(ENTRY.to_line().replace(b'"a.mp4"', b"7"), id="number instead of a name"),
        pytest.param(ENTRY.to_line().replace(b"1000.0", b"NaN"), id="not a number"),
        pytest.param(b"[" * 100_000 + b"\n", id="deeply nested"),
    ],
)
def test_damaged_line_is_ignored(tmp_path: Path, line: bytes) -> None:
    before, after = replace(ENTRY, source="before"), replace(ENTRY, source="after")
    (tmp_path / "manifest.jsonl").write_bytes(before.to_line() + line + after.to_line())
    assert sorted(opened(tmp_path)) == ["after", "before"]


def test_unknown_field_of_a_later_version_is_ignored(tmp_path: Path) -> None:
    fields = json.loads(ENTRY.to_line()) | {"new": [1]}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(fields, separators=(",", ":")) + "\n")
    assert opened(tmp_path)["a.mp4"] == ENTRY


def test_incomplete_last_line_is_removed_before_the_next_entry(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(ENTRY.to_line() + replace(ENTRY, source="b" * 5000).to_line()[:-1])
    manifests = opened(tmp_path)
    manifests.append([replace(ENTRY, source="c")])
    assert list(manifests) == ["a.mp4", "c"]
    assert [json.loads(line)["source"] for line in path.read_text().splitlines()] == ["a.mp4", "c"]


def test_file_without_a_complete_line_is_emptied(tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_bytes(b"x" * 5000)
    assert not opened(tmp_path)
    assert (tmp_path / "manifest.jsonl").read_bytes() == b""


def test_later_line_of_a_file_counts_even_if_the_clock_was_set_back(tmp_path: Path) -> None:
    written(tmp_path, replace(ENTRY, result="old"), replace(ENTRY, result="new", finished_s=1.0))
    assert opened(tmp_path)["a.mp4"].result == "new"


@pytest.mark.parametrize("time_s", [1.0, 5000.0])
def test_later_time_decides_between_files(tmp_path: Path, time_s: float) -> None:
    written(tmp_path, ENTRY)
    written(tmp_path, replace(ENTRY, result="shard", finished_s=time_s), name="manifest.1-of-2.jsonl")
    assert opened(tmp_path)["a.mp4"].result == ("shard" if time_s > ENTRY.finished_s else "a")


def test_new_entry_counts_although_the_clock_of_another_machine_is_ahead(tmp_path: Path) -> None:
    written(tmp_path, replace(ENTRY, finished_s=1e11), name="manifest.2-of-2.jsonl")
    opened(tmp_path, "manifest.1-of-2.jsonl").append([replace(ENTRY, result="new")])
    assert opened(tmp_path, "manifest.1-of-2.jsonl")["a.mp4"].result == "new"
    assert opened(tmp_path)["a.mp4"].result == "new"


def test_entries_of_other_processes_appear_after_a_refresh(tmp_path: Path) -> None:
    first, second = opened(tmp_path, "manifest.1-of-2.jsonl"), opened(tmp_path, "manifest.2-of-2.jsonl")
    second.append([ENTRY])
    assert "a.mp4" not in first
    first.refresh()
    assert "a.mp4" in first
    assert first.changes == 1


def test_incomplete_line_of_another_process_is_read_when_it_is_complete(tmp_path: Path) -> None:
    other = tmp_path / "manifest.2-of-2.jsonl"
    line = ENTRY.to_line()
    other.write_bytes(line[:50])
    manifests = opened(tmp_path, "manifest.1-of-2.jsonl")
    assert not manifests
    assert other.read_bytes() == line[:50]
    other.write_bytes(line)
    manifests.refresh()
    assert manifests["a.mp4"] == ENTRY


def test_more_manifests_than_open_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "_MAX_OPEN", 3)
    for number in range(1, 9):
        written(tmp_path, replace(ENTRY, source=f"{number}.mp4"), name=f"manifest.{number}-of-8.jsonl")
    manifests = opened(tmp_path)
    assert sorted(manifests) == [f"{number}.mp4" for number in range(1, 9)]
    assert all(manifests[f"{number}.mp4"].result == "a" for number in (8, 1, 5, 2, 1))
    manifests.close()


def test_reserved_sources_have_no_entry(tmp_path: Path) -> None:
    manifests = opened(tmp_path)
    manifests.reserve(["a.mp4", "b.mp4"])
    assert list(manifests) == []
    assert "a.mp4" not in manifests
    assert manifests.number_of_sources == 2
    manifests.append([ENTRY])
    assert list(manifests) == ["a.mp4"]
    assert len(manifests) == 1
    assert manifests.sources() == {"a.mp4", "b.mp4"}
