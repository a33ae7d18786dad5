"""Tests of the coordination: order, commits, repeated jobs, chunks, and the end by an error or a signal."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import edgeinfer
from edgeinfer.batch import chunks as chunks_module
from edgeinfer.batch import units
from edgeinfer.batch.engine import MAX_FAILURES, BatchSummary, run_batch
from edgeinfer.batch.jobs import BatchSource, Died, Job, Outcome, PoolEvent
from edgeinfer.batch.planning import Plan
from edgeinfer.batch.progress import BatchProgress
from edgeinfer.batch.worker import remove_partial_results
from edgeinfer.system import interrupts
from tools.batch_sources import Batch, found, source
from tools.fake_pool import DONE, FakePool, write_results

FAILED = Outcome("failed", "damaged", elapsed_s=0.1)


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    return Batch(tmp_path)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (chunks_module, units):
        monkeypatch.setattr(module, "CHUNK_PICTURES", 2)


def videos(folder: Path, *names: str) -> list[BatchSource]:
    return [source(folder, name) for name in names]


def pictures(folder: Path, number: int, *, path: str = "photos/pictures") -> BatchSource:
    files = [folder / "in" / "photos" / f"{index}.jpg" for index in range(number)]
    files[0].parent.mkdir(parents=True, exist_ok=True)
    for file in files:
        file.touch()
    return found(path, files, kind="pictures", result=path)


def process(batch: Batch, sources: Sequence[BatchSource], pool: FakePool, **options: Any) -> BatchSummary:
    with batch.state() as state:
        plan = Plan(tuple(sources), ())
        return run_batch(plan, state, pool, formats=batch.formats, annotated=batch.annotated, **options)


def statuses(batch: Batch) -> dict[str, tuple[str, str]]:
    return {row["source"]: (row["status"], row["reason"]) for row in batch.rows()}


def results(batch: Batch) -> dict[str, str]:
    """Return the contents of all files outside the state's folder, except the table."""
    return {
        str(path.relative_to(batch.out)): path.read_text()
        for path in batch.out.rglob("*")
        if path.is_file() and ".edgeinfer" not in path.parts and path.name != "batch.csv"
    }


def partial_files(folder: Path) -> list[Path]:
    return list(folder.rglob(".partial.*"))


def test_every_source_is_committed(batch: Batch, tmp_path: Path) -> None:
    pool = FakePool(lambda job, _: FAILED if job.source == "b.mp4" else DONE)
    summary = process(batch, videos(tmp_path, "a.mp4", "b.mp4", "c.mp4"), pool)
    assert statuses(batch) == {"a.mp4": ("done", ""), "b.mp4": ("failed", "damaged"), "c.mp4": ("done", "")}
    assert results(batch) == {"a.csv": "a.mp4\n", "c.csv": "c.mp4\n"}
    assert summary == BatchSummary(3, 2, 1, 0, 20, 10, 2, 4.0, summary.elapsed_s, (("b.mp4", "damaged"),))
    assert pool.most == pool.capacity
    assert not pool.is_open


def test_second_call_processes_only_failures(batch: Batch, tmp_path: Path) -> None:
    sources = videos(tmp_path, "a.mp4", "b.mp4")
    process(batch, sources, FakePool(lambda job, _: FAILED if job.source == "b.mp4" else DONE))
    pool = FakePool()
    summary = process(batch, sources, pool)
    assert [job.source for job in pool.jobs] == ["b.mp4"]
    assert (summary.total, summary.done, summary.unchanged, summary.failed, summary.frames) == (2, 2, 1, 0, 10)
    idle = FakePool()
    summary = process(batch, sources, idle)
    assert (summary.done, summary.unchanged, idle.jobs) == (2, 2, [])


def test_long_videos_go_first_and_pictures_last(batch: Batch, tmp_path: Path) -> None:
    sizes = {"a.mp4": 10, "b.mp4": 30, "c.mp4": 20}
    sources = [replace(item, size_bytes=sizes[item.path]) for item in videos(tmp_path, *sizes)]
    pool = FakePool()
    process(batch, [replace(pictures(tmp_path, 1), size_bytes=100), *sources], pool)
    assert [job.source for job in pool.jobs] == ["b.mp4", "c.mp4", "a.mp4", "photos/pictures"]


def test_job_that_kills_two_workers_fails(batch: Batch, tmp_path: Path) -> None:
    def react(job: Job, _: int) -> PoolEvent | Outcome:
        if job.source != "a.mp4":
            return DONE
        write_results(job)
        return Died(job.number, "killed by SIGSEGV")

    pool = FakePool(react)
    summary = process(batch, videos(tmp_path, "a.mp4", "b.mp4"), pool)
    assert statuses(batch)["a.mp4"] == ("failed", "the worker process died twice: killed by SIGSEGV")
    assert [job.source for job in pool.jobs].count("a.mp4") == 2
    assert (summary.done, summary.failed) == (1, 1)
    assert partial_files(batch.out) == []


@pytest.mark.parametrize(("blames_job", "deaths"), [(True, 1), (False, 5)])
def test_job_is_repeated(batch: Batch, tmp_path: Path, blames_job: bool, deaths: int) -> None:
    pool = FakePool(lambda job, tries: Died(job.number, "lost", blames_job) if tries < deaths else DONE)
    process(batch, videos(tmp_path, "a.mp4"), pool)
    assert statuses(batch) == {"a.mp4": ("done", "")}
    assert len(pool.jobs) == deaths + 1
    assert len({job.results["csv"] for job in pool.jobs}) == deaths + 1


def test_lost_process_that_continues_does_not_touch_the_results(batch: Batch, tmp_path: Path) -> None:
    def react(job: Job, tries: int) -> PoolEvent | Outcome:
        if not tries:
            return Died(job.number, "lost", blames_job=False)
        remove_partial_results(pool.jobs[0])  # as a worker does at its start
        Path(pool.jobs[0].results["csv"]).write_text("from the lost process\n")
        return DONE

    pool = FakePool(react)
    process(batch, videos(tmp_path, "a.mp4"), pool)
    assert results(batch) == {"a.csv": "a.mp4\n"}
    assert partial_files(batch.out) == []


@pytest.mark.parametrize(
    "error", [edgeinfer.OutputError("disk full"), edgeinfer.ModelError("refused"), interrupts.Interrupted(2)], ids=repr
)
def test_error_or_signal_keeps_what_is_done(batch: Batch, tmp_path: Path, error: BaseException) -> None:
    sources = videos(tmp_path, "a.mp4", "b.mp4", "c.mp4")
    with pytest.raises(type(error)):
        process(batch, sources, FakePool(lambda job, _: error if job.source == "b.mp4" else DONE))
    assert statuses(batch) == {"a.mp4": ("done", "")}
    assert results(batch) == {"a.csv": "a.mp4\n"}
    assert partial_files(batch.out) == []
    assert batch.pending(sources) == ["b.mp4", "c.mp4"]


def test_signal_is_checked_between_events(batch: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: BatchProgress) -> None:
        monkeypatch.setattr(interrupts, "check", lambda: (_ for _ in ()).throw(interrupts.Interrupted(15)))

    with pytest.raises(interrupts.Interrupted):
        process(batch, videos(tmp_path, "a.mp4", "b.mp4", "c.mp4"), FakePool(), on_update=interrupt)
    assert statuses(batch) == {"a.mp4": ("done", "")}


@pytest.mark.usefixtures("small_chunks")
def test_chunks_are_merged(batch: Batch, tmp_path: Path) -> None:
    parts = {0: Outcome("done", "one", 2, 3, elapsed_s=1.0), 2: Outcome("no_faces", "", 2, elapsed_s=2.0)}
    merged = Outcome("done", elapsed_s=0.25)
    last = Outcome("done", "", 1, 1, elapsed_s=0.5)
    pool = FakePool(lambda job, _: merged if job.chunks else parts.get(job.first_index, last))
    summary = process(replace(batch, formats=("csv", "jsonl")), [pictures(tmp_path, 5)], pool)
    names = "".join(f"{index}.jpg\n" for index in range(5))
    assert results(batch) == {"photos/pictures.csv": names, "photos/pictures.jsonl": names}
    (row,) = batch.rows()
    assert (row["status"], row["reason"], row["frames"], row["faces"]) == ("done", "one", "5", "4")
    assert float(row["elapsed_s"]) == pytest.approx(3.75)
    *chunks, merge = pool.jobs
    assert [(job.first_index, len(job.files), job.is_chunk) for job in chunks] == [
        (0, 2, True), (2, 2, True), (4, 1, True),
    ]  # fmt: skip
    assert [len(paths) for paths in merge.chunks.values()] == [3, 3]
    assert not list((batch.out / ".edgeinfer" / "chunks").iterdir())
    assert (summary.total, summary.frames, summary.faces) == (1, 5, 4)


@pytest.mark.usefixtures("small_chunks")
def test_committed_chunks_are_not_repeated(batch: Batch, tmp_path: Path) -> None:
    photos = pictures(tmp_path, 5)
    stop = FakePool(lambda job, _: interrupts.Interrupted(2) if job.first_index == 4 else DONE)
    with pytest.raises(interrupts.Interrupted):
        process(batch, [photos], stop)
    pool = FakePool()
    process(batch, [photos], pool)
    assert [job.first_index for job in pool.jobs if job.is_chunk] == [4]
    assert results(batch) == {"photos/pictures.csv": "".join(f"{index}.jpg\n" for index in range(5))}


@pytest.mark.usefixtures("small_chunks")
def test_interrupted_merge_is_repeated(batch: Batch, tmp_path: Path) -> None:
    photos = pictures(tmp_path, 3)
    with pytest.raises(interrupts.Interrupted):
        process(batch, [photos], FakePool(lambda job, _: interrupts.Interrupted(2) if job.chunks else DONE))
    pool = FakePool()
    process(batch, [photos], pool)
    assert [bool(job.chunks) for job in pool.jobs] == [True]
    assert results(batch) == {"photos/pictures.csv": "0.jpg\n1.jpg\n2.jpg\n"}


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(
    ("parts", "status", "reason"),
    [
        ([DONE, replace(FAILED, reason="died"), DONE], "failed", "died"),
        (
            [Outcome("no_faces", f"part {number}") for number in range(6)],
            "failed",
            "part 0; part 1; part 2; and 3 more",
        ),
        ([Outcome("no_faces", "unreadable"), Outcome("no_faces", "", 2)], "no_faces", "unreadable"),
    ],
    ids=["failed chunk", "no readable picture", "unreadable chunk"],
)
def test_outcome_of_chunks(batch: Batch, tmp_path: Path, parts: list[Outcome], status: str, reason: str) -> None:
    pool = FakePool(lambda job, _: DONE if job.chunks else parts[job.first_index // 2])
    summary = process(batch, [pictures(tmp_path, 2 * len(parts))], pool)
    ((actual_status, actual_reason),) = statuses(batch).values()
    assert actual_status == status
    assert actual_reason.startswith(reason)
    assert summary.failed == (status == "failed")
    assert bool(results(batch)) == (status != "failed")


@pytest.mark.usefixtures("small_chunks")
def test_limited_pictures_are_not_divided(batch: Batch, tmp_path: Path) -> None:
    pool = FakePool()
    process(batch, [pictures(tmp_path, 5)], pool, max_frames=4)
    assert [(len(job.files), job.is_chunk) for job in pool.jobs] == [(5, False)]


@pytest.mark.usefixtures("small_chunks")
def test_annotated_copies(batch: Batch, tmp_path: Path) -> None:
    def annotated(item: BatchSource) -> Sequence[Path]:
        return [batch.out / "annotated" / Path(file).name for file in item.files]

    def react(job: Job, _: int) -> Outcome:
        for path in (job.annotated_video, *job.annotated_pictures):
            if path is not None:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                Path(path).write_text("copy")
        return DONE

    pool = FakePool(react)
    process(replace(batch, annotated=annotated), [*videos(tmp_path, "a.mp4"), pictures(tmp_path, 3)], pool)
    copies = {name for name in results(batch) if name.startswith("annotated/")}
    assert copies == {"annotated/a.mp4", "annotated/0.jpg", "annotated/1.jpg", "annotated/2.jpg"}
    assert [len(job.annotated_pictures) for job in pool.jobs] == [0, 2, 1, 0]


def test_summary_names_the_first_failures(batch: Batch, tmp_path: Path) -> None:
    sources = videos(tmp_path, *(f"{number}.mp4" for number in range(MAX_FAILURES + 2)))
    summary = process(batch, sources, FakePool(lambda *_: FAILED))
    assert summary.failed == MAX_FAILURES + 2
    assert len(summary.failures) == MAX_FAILURES


def test_shard_counts_only_its_sources(batch: Batch, tmp_path: Path) -> None:
    sources = videos(tmp_path, *(f"{number}.mp4" for number in range(8)))
    totals = [process(replace(batch, shard=(number, 2)), sources, FakePool()).total for number in (1, 2)]
    assert sum(totals) == 8
    assert all(totals)


def test_progress(batch: Batch, tmp_path: Path) -> None:
    reports: list[BatchProgress] = []
    process(batch, videos(tmp_path, "a.mp4", "b.mp4"), FakePool(), on_update=reports.append)
    assert (reports[-1].done, reports[-1].failed, reports[-1].total, reports[-1].frames) == (2, 0, 2, 20)


def test_finished_sources_need_no_memory(batch: Batch, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    sources = [found(f"{number}.mp4", [folder / f"{number}.mp4"]) for number in range(500)]
    snapshots: list[tracemalloc.Snapshot] = []

    def react(job: Job, _: int) -> Outcome:
        pool.jobs.clear()
        if job.number in (100, 500):
            gc.collect()
            snapshots.append(tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*/edgeinfer/*")]))
        return DONE

    pool = FakePool(react)
    tracemalloc.start()
    try:
        process(batch, sources, pool)
    finally:
        tracemalloc.stop()
    grown = sum(difference.size_diff for difference in snapshots[1].compare_to(snapshots[0], "filename"))
    assert grown < 200 * 400  # 2 MB per 10,000 sources
