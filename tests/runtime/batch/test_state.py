"""Tests of the state of a batch: which sources a second call processes."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgeinfer.batch.jobs import BatchSource
from edgeinfer.batch.state import BatchState
from edgeinfer.errors import OutputError
from tools.batch_sources import DONE, FAILED, Batch, commit, found, source


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    return Batch(tmp_path)


@pytest.fixture
def sources(tmp_path: Path) -> list[BatchSource]:
    return [source(tmp_path, path) for path in ("a.mp4", "b/c.mp4", "d.mp4")]


def test_second_call_processes_only_what_is_missing(batch: Batch, sources: list[BatchSource]) -> None:
    assert batch.process(sources, limit=2) == ["a.mp4", "b/c.mp4"]
    assert batch.process(sources) == ["d.mp4"]
    assert batch.process(sources) == []
    assert (batch.out / "b/c.csv").read_text() == "acontent"
    assert sorted(path.name for path in batch.out.iterdir()) == [".edgeinfer", "a.csv", "b", "batch.csv", "d.csv"]


def _change_settings(batch: Batch, sources: list[BatchSource]) -> tuple[Batch, list[BatchSource]]:
    return replace(batch, settings="b"), sources


def _change_file(batch: Batch, sources: list[BatchSource]) -> tuple[Batch, list[BatchSource]]:
    return batch, [source(batch.folder, "a.mp4", "changed"), *sources[1:]]


def _delete_result(batch: Batch, sources: list[BatchSource]) -> tuple[Batch, list[BatchSource]]:
    (batch.out / "a.csv").unlink()
    return batch, sources


def _add_format(batch: Batch, sources: list[BatchSource]) -> tuple[Batch, list[BatchSource]]:
    return replace(batch, formats=("csv", "jsonl")), sources


def _annotate(batch: Batch, sources: list[BatchSource]) -> tuple[Batch, list[BatchSource]]:
    return replace(batch, annotated=lambda source: [batch.out / "annotated" / source.path]), sources


def _rename_result(batch: Batch, sources: list[BatchSource]) -> tuple[Batch, list[BatchSource]]:
    return batch, [replace(sources[0], result="a.mp4"), *sources[1:]]


def _nothing(batch: Batch, sources: list[BatchSource]) -> tuple[Batch, list[BatchSource]]:
    return batch, sources


ALL = ["a.mp4", "b/c.mp4", "d.mp4"]


@pytest.mark.parametrize(
    ("change", "pending"),
    [
        pytest.param(_nothing, [], id="nothing"),
        pytest.param(_change_file, ["a.mp4"], id="file changed"),
        pytest.param(_delete_result, ["a.mp4"], id="result deleted"),
        pytest.param(_rename_result, ["a.mp4"], id="other result name"),
        pytest.param(_change_settings, ALL, id="settings"),
        pytest.param(_add_format, ALL, id="format added"),
        pytest.param(_annotate, ALL, id="annotated copies requested"),
    ],
)
def test_changed_sources_are_processed_again(
    batch: Batch,
    sources: list[BatchSource],
    change: Callable[[Batch, list[BatchSource]], tuple[Batch, list[BatchSource]]],
    pending: list[str],
) -> None:
    batch.process(sources)
    batch, sources = change(batch, sources)
    assert batch.process(sources) == pending
    assert batch.pending(sources) == []


def test_failed_source_is_processed_again_and_keeps_its_earlier_result(
    batch: Batch, sources: list[BatchSource]
) -> None:
    batch.process(sources)
    sources[0] = source(batch.folder, "a.mp4", "damaged")
    batch.process(sources, outcome=FAILED)
    assert batch.pending(sources) == ["a.mp4"]
    assert [row["status"] for row in batch.rows()] == ["failed", "done", "done"]
    assert (batch.out / "a.csv").read_text() == "acontent"


def test_no_faces_is_a_success(batch: Batch, sources: list[BatchSource]) -> None:
    batch.process(sources, outcome=replace(DONE, status="no_faces", faces=0, tracks=0))
    assert batch.pending(sources) == []


def test_formats_of_several_calls_add_up_while_the_source_is_unchanged(
    batch: Batch, sources: list[BatchSource]
) -> None:
    batch.process(sources)
    jsonl, both = replace(batch, formats=("jsonl",)), replace(batch, formats=("csv", "jsonl"))
    assert jsonl.process(sources) == ALL
    assert both.pending(sources) == []
    changed = [source(batch.folder, "a.mp4", "changed"), *sources[1:]]
    assert jsonl.process(changed) == ["a.mp4"]
    assert both.pending(changed) == ["a.mp4"]


def test_deleted_annotated_copy_is_made_again(batch: Batch) -> None:
    pictures = [batch.folder / f"{number}.jpg" for number in range(3)]
    for picture in pictures:
        picture.touch()
    copies = [batch.out / "annotated" / picture.name for picture in pictures]
    copies[0].parent.mkdir(parents=True)
    copies[0].touch()
    copies[2].touch()  # the second picture is unreadable and has no copy
    batch = replace(batch, annotated=lambda _: copies)
    sources = [found("pictures", pictures, kind="pictures")]
    assert batch.process(sources) == ["pictures"]
    assert batch.pending(sources) == []
    copies[2].unlink()
    assert replace(batch, annotated=None).pending(sources) == []
    assert batch.pending(sources) == ["pictures"]


def test_fresh_processes_every_source_once_even_if_it_is_interrupted(batch: Batch, sources: list[BatchSource]) -> None:
    batch.process(sources)
    fresh = replace(batch, fresh=True)
    assert fresh.process(sources, limit=1) == ["a.mp4"]
    assert [row["source"] for row in batch.rows()] == ALL
    assert batch.process(sources) == ["b/c.mp4", "d.mp4"]
    assert batch.pending(sources) == []
    assert fresh.pending(sources) == ALL


@pytest.mark.parametrize("recorded", [True, False], ids=["content recorded", "content not recorded"])
def test_verify_compares_the_content(batch: Batch, sources: list[BatchSource], recorded: bool) -> None:
    replace(batch, verify=recorded).process(sources)
    verify = replace(batch, verify=True)
    assert verify.pending(sources) == []
    file = Path(sources[0].files[0])
    os.utime(file, ns=(1, 1))
    touched = [found("a.mp4", [file]), *sources[1:]]
    assert verify.process(touched) == []
    assert batch.pending(touched) == []
    file.write_text("CONTENT")
    os.utime(file, ns=(1, 1))
    changed = [found("a.mp4", [file]), *sources[1:]]
    assert changed == touched
    assert batch.pending(changed) == []
    assert verify.process(changed) == ["a.mp4"]
    assert verify.pending(changed) == []


def test_verify_without_a_recorded_content_compares_size_and_time(batch: Batch, sources: list[BatchSource]) -> None:
    batch.process(sources)
    os.utime(sources[0].files[0], ns=(1, 1))
    touched = [found("a.mp4", [Path(sources[0].files[0])]), *sources[1:]]
    assert replace(batch, verify=True).process(touched) == ["a.mp4"]


def test_names_of_earlier_calls_are_kept(batch: Batch, sources: list[BatchSource]) -> None:
    sources[0] = replace(sources[0], result="a.mp4")
    batch.process(sources[:2], outcome=FAILED)
    with batch.state() as state:
        assert dict(state.names) == {"a.mp4": "a.mp4", "b/c.mp4": "b/c"}
        assert len(state.names) == 2
        assert state.names.get("d.mp4") is None
        state.pending(sources)
        assert dict(state.names) == {"a.mp4": "a.mp4", "b/c.mp4": "b/c"}


def test_name_that_is_not_utf8_survives(batch: Batch) -> None:
    sources = [source(batch.folder, os.fsdecode(b"caf\xe9/1.mp4")), source(batch.folder, 'a "b"\n,c.mp4')]
    assert batch.process(sources) == [sources[0].path, sources[1].path]
    assert batch.pending(sources) == []
    assert [row["source"] for row in batch.rows()] == ["caf\\xe9/1.mp4", 'a "b"\n,c.mp4']


def test_commits_of_one_block_share_one_write_even_after_an_exception(
    batch: Batch, sources: list[BatchSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    def commit_and_raise(state: BatchState) -> None:
        with state.together():
            commit(state, sources[0], batch)
            with state.together():
                commit(state, sources[2], batch)
            assert len(synced) == 2
            raise KeyboardInterrupt

    synced: list[int] = []
    with batch.state() as state:
        monkeypatch.setattr(os, "fsync", synced.append)
        for item in state.pending(sources)[:2]:
            commit(state, item, batch)
        assert len(synced) == 2
        with pytest.raises(KeyboardInterrupt):
            commit_and_raise(state)
        assert len(synced) == 3
    assert batch.pending(sources) == []


def test_full_disk_marks_nothing(batch: Batch, sources: list[BatchSource], monkeypatch: pytest.MonkeyPatch) -> None:
    batch.process(sources, limit=1)
    write = os.pwrite

    def write_half(descriptor: int, data: bytes, position: int) -> int:
        if len(data) < 200:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data[: len(data) // 2], position)

    with batch.state() as state:
        state.pending(sources)
        monkeypatch.setattr(os, "pwrite", write_half)
        with pytest.raises(OutputError, match=r"^cannot write to .*out: No space left on device$") as raised:
            commit(state, sources[1], batch)
        monkeypatch.undo()
        assert raised.value.exit_code == 6
        commit(state, sources[2], batch)
    assert batch.process(sources) == ["b/c.mp4"]
    assert [row["source"] for row in batch.rows()] == ALL


def test_missing_temporary_file_is_an_error_and_marks_nothing(batch: Batch, sources: list[BatchSource]) -> None:
    with batch.state() as state:
        state.pending(sources)
        with pytest.raises(OutputError, match="No such file"):
            state.commit(sources[0], DONE, {batch.out / ".partial.a.csv": batch.out / "a.csv"})
    assert batch.pending(sources) == ALL


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_folder_that_cannot_be_created(batch: Batch, name: str) -> None:
    (batch.folder / "file").touch()
    state = replace(batch, folder=batch.folder / name).state()
    with pytest.raises(OutputError, match="cannot write to"), state:
        pass
