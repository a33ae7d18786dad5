"""Tests of the table of a batch."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edgeinfer.batch import table
from edgeinfer.batch.jobs import Outcome
from edgeinfer.batch.manifest import Entry
from tools.batch_sources import DONE, FAILED, Batch, commit, source


def test_table_has_the_documented_columns_in_natural_order(tmp_path: Path) -> None:
    batch = Batch(tmp_path)
    outcomes = {
        "b/2.mp4": Outcome("done", "the last 3 frames are damaged", 250, 12, 2, 10.00049, 1.23456),
        "b/10.mp4": Outcome("no_faces", frames=7, duration_s=0.28, elapsed_s=0.1),
        "c, d.mp4": Outcome("failed", 'not a "video"\nbut text', elapsed_s=0.01),
    }
    sources = [source(tmp_path, path) for path in outcomes]
    with batch.state() as state:
        for item in state.pending(sources):
            commit(state, item, batch, outcomes[item.path])
        state.write_table(force=True)
    assert (batch.out / "batch.csv").read_bytes() == (
        b"source,status,reason,frames,faces,tracks,duration_s,elapsed_s\n"
        b"b/2.mp4,done,the last 3 frames are damaged,250,12,2,10.0,1.235\n"
        b"b/10.mp4,no_faces,,7,0,0,0.28,0.1\n"
        b'"c, d.mp4",failed,"not a ""video"" but text",0,0,0,0.0,0.01\n'
    )


def test_sources_of_earlier_calls_stay_unless_they_failed(tmp_path: Path) -> None:
    batch = Batch(tmp_path)
    batch.process([source(tmp_path, "10.mp4")])
    batch.process([source(tmp_path, "9.mp4")], outcome=FAILED)
    batch.process([source(tmp_path, "2.mp4"), source(tmp_path, "11.mp4")])
    assert [row["source"] for row in batch.rows()] == ["2.mp4", "10.mp4", "11.mp4"]


def test_row_of_a_source_that_is_being_processed_again_stays(tmp_path: Path) -> None:
    batch = Batch(tmp_path)
    sources = [source(tmp_path, "1.mp4"), source(tmp_path, "2.mp4")]
    batch.process(sources)
    replace(batch, settings="b").process(sources, limit=1, outcome=replace(DONE, faces=99))
    assert [row["faces"] for row in batch.rows()] == ["99", "5"]


def test_empty_batch_has_an_empty_table(tmp_path: Path) -> None:
    Batch(tmp_path).process([])
    assert Batch(tmp_path).rows() == []


def test_unforced_writes_take_two_percent_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, now_s, written_s = Batch(tmp_path), [100.0], list[float]()
    write_table = table.write_table

    def slow(*arguments: Any, **options: Any) -> None:
        written_s.append(now_s[0])
        now_s[0] += 0.5
        write_table(*arguments, **options)

    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(table, "write_table", slow)
    sources = [source(tmp_path, f"{number}.mp4") for number in range(300)]
    with batch.state() as state:
        for item in state.pending(sources):
            commit(state, item, batch)
            state.write_table()
            now_s[0] += 0.5
        state.write_table(force=True)
        assert len(batch.rows()) == 300
    assert written_s[0] == 101
    assert [after - before for before, after in pairwise(written_s[:-1])] == [25] * 6


def test_unforced_write_without_a_new_entry_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = Batch(tmp_path)
    with batch.state() as state:
        state.pending([source(tmp_path, "1.mp4")])
        state.write_table(force=True)
        (batch.out / "batch.csv").unlink()
        monkeypatch.setattr(time, "monotonic", lambda: 1e12)
        state.write_table()
        assert not (batch.out / "batch.csv").exists()


def test_two_shards_that_finish_at_once_lose_no_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [source(tmp_path, f"{number}.mp4") for number in range(8)]
    first, second = Batch(tmp_path, shard=(1, 2)), Batch(tmp_path, shard=(2, 2))
    write_table = table.write_table

    def overtaken(path: Path, entries: Iterable[Entry], *, label: str = "", sync: bool) -> None:
        old = list(entries)
        if label == "1-of-2.":
            with monkeypatch.context() as patch:
                patch.setattr(table, "write_table", write_table)
                second.process(sources)
        write_table(path, old, label=label, sync=sync)

    with first.state() as state:
        for item in state.pending(sources):
            commit(state, item, first)
        monkeypatch.setattr(table, "write_table", overtaken)
        state.write_table(force=True)
    assert len(first.rows()) == 8


def test_interruption_before_the_plan_is_known_keeps_the_table(tmp_path: Path) -> None:
    batch = Batch(tmp_path)
    batch.process([source(tmp_path, "1.mp4")], outcome=FAILED)
    with batch.state() as state:
        state.write_table(force=True)
    assert [row["status"] for row in batch.rows()] == ["failed"]


def test_temporary_table_of_a_killed_batch_is_replaced(tmp_path: Path) -> None:
    batch = Batch(tmp_path)
    batch.process([source(tmp_path, "1.mp4")])
    (batch.out / ".partial.batch.csv").write_text("cut")
    batch.process([source(tmp_path, "1.mp4"), source(tmp_path, "2.mp4")])
    assert [row["source"] for row in batch.rows()] == ["1.mp4", "2.mp4"]
    assert not (batch.out / ".partial.batch.csv").exists()
