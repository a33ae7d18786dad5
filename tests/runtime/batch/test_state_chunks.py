"""Tests of chunks of pictures that are committed before their source."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from edgeinfer.batch import chunks
from edgeinfer.batch.jobs import BatchSource, Outcome
from edgeinfer.batch.state import BatchState
from edgeinfer.readers.batch_list import STATE_FOLDER
from edgeinfer.system.files import partial_path
from tools.batch_sources import DONE, FAILED, Batch, commit, found


@pytest.fixture
def batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Batch:
    monkeypatch.setattr(chunks, "CHUNK_PICTURES", 3)
    return Batch(tmp_path)


def pictures(batch: Batch, count: int = 8, path: str = "x/pictures") -> BatchSource:
    """Return a source of pictures."""
    files = [batch.folder / "in" / path / f"{number}.jpg" for number in range(count)]
    files[0].parent.mkdir(parents=True, exist_ok=True)
    for file in files:
        if not file.exists():
            file.write_text(file.name)
    return found(path, files, kind="pictures", result=path)


def commit_chunk(state: BatchState, item: BatchSource, index: int, outcome: Outcome = DONE) -> None:
    path = state.chunk_path(item, index, "csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_path(path).write_text(str(index))
    state.commit_chunk(item, index, outcome, {partial_path(path): path})


def committed(batch: Batch, item: BatchSource) -> dict[int, Outcome]:
    """Return the chunks that a new call need not process."""
    with batch.state() as state:
        state.pending([item])
        return dict(state.chunks(item))


def interrupted(batch: Batch, item: BatchSource, *indices: int) -> None:
    """Commit chunks, but not the source."""
    with batch.state() as state:
        state.pending([item])
        state.chunks(item)
        for index in indices:
            commit_chunk(state, item, index, replace(DONE, frames=index))


def test_committed_chunks_are_kept_until_the_source_is_committed(batch: Batch) -> None:
    item = pictures(batch)
    assert committed(batch, item) == {}
    interrupted(batch, item, 2, 0)
    assert committed(batch, item) == {0: replace(DONE, frames=0), 2: replace(DONE, frames=2)}
    with batch.state() as state:
        state.pending([item])
        assert state.chunk_path(item, 2, "csv").read_text() == "2"
        state.chunks(item)
        commit(state, item, batch)
    assert list((batch.out / STATE_FOLDER / "chunks").iterdir()) == []
    assert batch.pending([item]) == []


def test_failed_source_keeps_its_chunks(batch: Batch) -> None:
    item = pictures(batch)
    with batch.state() as state:
        state.pending([item])
        state.chunks(item)
        commit_chunk(state, item, 0)
        commit_chunk(state, item, 1, FAILED)
        commit(state, item, batch, FAILED)
    assert list(committed(batch, item)) == [0]


def _change_picture(batch: Batch, item: BatchSource) -> BatchSource:
    (batch.folder / "in/x/pictures/4.jpg").write_text("changed")
    return pictures(batch)


def _add_picture(batch: Batch, item: BatchSource) -> BatchSource:
    return pictures(batch, 9)


def _remove_pictures(batch: Batch, item: BatchSource) -> BatchSource:
    return pictures(batch, 6)


def _delete_result(batch: Batch, item: BatchSource) -> BatchSource:
    with batch.state() as state:
        state.chunk_path(item, 0, "csv").unlink()
    return item


def _record(batch: Batch) -> Path:
    (record,) = batch.out.glob(f"{STATE_FOLDER}/chunks/*/chunks.jsonl")
    return record


def _cut_record(batch: Batch, item: BatchSource) -> BatchSource:
    record = _record(batch)
    record.write_bytes(record.read_bytes()[:-1])
    return item


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        pytest.param(_change_picture, [0, 2], id="picture changed"),
        pytest.param(_add_picture, [0, 1], id="picture added"),
        pytest.param(_remove_pictures, [0, 1], id="pictures removed"),
        pytest.param(_delete_result, [1, 2], id="result deleted"),
        pytest.param(_cut_record, [0, 1], id="record cut"),
    ],
)
def test_changed_chunks_are_processed_again(batch: Batch, change: object, kept: list[int]) -> None:
    item = pictures(batch)
    interrupted(batch, item, 0, 1, 2)
    assert callable(change)
    assert list(committed(batch, change(batch, item))) == kept


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"settings": "b"}, id="settings"),
        pytest.param({"formats": ("csv", "jsonl")}, id="format added"),
        pytest.param({"fresh": True}, id="fresh"),
        pytest.param({"annotated": lambda item: [Path(file) for file in item.files]}, id="annotated copies"),
    ],
)
def test_chunks_with_other_options_are_processed_again(batch: Batch, change: dict[str, object]) -> None:
    item = pictures(batch)
    interrupted(batch, item, 0, 1, 2)
    assert committed(replace(batch, **change), item) == {}  # type: ignore[arg-type]


def test_chunk_that_was_replaced_but_not_recorded_is_processed_again(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = pictures(batch)
    interrupted(batch, item, 0, 1)

    def kill(_: int) -> None:
        raise KeyboardInterrupt

    with replace(batch, settings="b").state() as state:
        state.pending([item])
        state.chunks(item)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", kill)
            with pytest.raises(KeyboardInterrupt):
                commit_chunk(state, item, 0)
    # Without the last line, which was not on the disk.
    lines = _record(batch).read_bytes().splitlines(keepends=True)
    assert len(lines) == 4
    _record(batch).write_bytes(b"".join(lines[:3]))
    assert list(committed(batch, item)) == [1]


def test_verify_compares_the_content_of_chunks(batch: Batch) -> None:
    verify = replace(batch, verify=True)
    item = pictures(batch)
    interrupted(verify, item, 0, 1, 2)
    file = batch.folder / "in/x/pictures/4.jpg"
    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    file.write_text("4.JPG")
    os.utime(file, ns=times)
    assert pictures(batch) == item
    assert list(committed(verify, item)) == [0, 2]


def test_annotated_copies_of_a_chunk_must_exist(batch: Batch) -> None:
    item = pictures(batch)
    copies = [batch.folder / f"copy{number}" for number in range(8)]
    for copy in copies:
        copy.touch()
    annotated = replace(batch, annotated=lambda _: copies)
    interrupted(annotated, item, 0, 1, 2)
    copies[7].unlink()
    assert list(committed(annotated, item)) == [0, 1]


def test_chunks_of_a_source_that_is_gone_are_deleted(batch: Batch) -> None:
    first, second = pictures(batch), pictures(batch, path="y/pictures")
    interrupted(batch, first, 0)
    interrupted(replace(batch, shard=(1, 2)), second, 0)
    folder = batch.out / STATE_FOLDER / "chunks"
    with replace(batch, shard=(1, 2)).state() as state:
        state.pending([])
    assert len(list(folder.iterdir())) == 2
    batch.pending([second])
    assert len(list(folder.iterdir())) == 1
    assert list(committed(batch, second)) == [0]
