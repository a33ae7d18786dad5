"""Coordination of a batch: submits the jobs to a pool of workers and commits their outcomes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgeinfer.batch.chunks import chunk_range
from edgeinfer.batch.jobs import BatchSource, Died, Finished, Job, Outcome, PoolEvent, Progress, WorkerPool
from edgeinfer.batch.progress import BatchProgress, Meter
from edgeinfer.batch.units import Divided, Unit, UnitFactory
from edgeinfer.batch.worker import remove_partial_results
from edgeinfer.errors import OutputError
from edgeinfer.options.groups import ResultFormat
from edgeinfer.system import interrupts

if TYPE_CHECKING:
    from edgeinfer.batch.planning import Plan
    from edgeinfer.batch.state import Annotated, BatchState

MAX_DEATHS = 2
"""Number of worker processes that may die of one job before its source fails."""
MAX_FAILURES = 10
"""Maximum number of failures that a summary names."""
UPDATE_S = 0.25
"""Shortest time between two calls of `on_update`, in seconds."""


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """Result of a batch.

    Attributes:
        total: Number of sources.
        done: Number of sources that are done, including `unchanged`.
        failed: Number of sources that failed in this call.
        unchanged: Number of sources whose results of an earlier call are kept.
        frames: Number of frames and pictures that this call has processed.
        faces: Number of faces in them.
        tracks: Number of tracks in the videos of this call.
        duration_s: Presentation time of the videos of this call in seconds.
        elapsed_s: Time of this call in seconds.
        failures: (relative path, reason) of the first failures, at most `MAX_FAILURES`.
    """

    total: int
    done: int
    failed: int
    unchanged: int
    frames: int
    faces: int
    tracks: int
    duration_s: float
    elapsed_s: float
    failures: tuple[tuple[str, str], ...]


def run_batch(
    plan: Plan,
    state: BatchState,
    pool: WorkerPool,
    *,
    formats: Sequence[ResultFormat],
    annotated: Annotated | None = None,
    max_frames: int | None = None,
    on_update: Callable[[BatchProgress], None] = lambda _: None,
) -> BatchSummary:
    """Process the sources of a batch that are missing, failed or changed.

    The pool is entered and left here; the caller opens and closes the state.

    Args:
        plan: Sources.
        state: Open state in the batch's folder.
        pool: Workers, not yet entered.
        formats: Formats of the results, each once.
        annotated: Function from a source to the final paths of its annotated copies, as for `BatchState`; None if none
            are requested.
        max_frames: Maximum number of frames of one source, as in the settings of the workers; with a maximum, pictures
            are not divided into chunks.
        on_update: Callback for the progress, called several times per second.

    Returns:
        Counts and times.

    Raises:
        OutputError: A result cannot be written; sources without an outcome stay as they were.
        EdgeInferError: The workers cannot load the model or the detector.
        Interrupted: A signal interrupted the batch; everything that is done is kept.
    """
    with interrupts.guarded():
        try:
            pending = state.pending(plan.sources)
            unchanged = sum(1 for _ in state.own(plan.sources)) - len(pending)
            units = UnitFactory(state, formats, annotated or (lambda _: ()), divides=max_frames is None)
            batch = _Batch(pending, unchanged, state, pool, units, on_update)
            batch.run()
        except BaseException:
            with suppress(OutputError):
                state.write_table(force=True)
            raise
        state.write_table(force=True)
    return batch.summary()


class _Batch:
    """Waiting and submitted jobs of a batch, and its counts."""

    def __init__(
        self,
        pending: Sequence[BatchSource],
        unchanged: int,
        state: BatchState,
        pool: WorkerPool,
        units: UnitFactory,
        on_update: Callable[[BatchProgress], None],
    ) -> None:
        self._state, self._pool, self._factory, self._on_update = state, pool, units, on_update
        self._meter = Meter(pending)
        self._waiting = self._units(sorted(pending, key=_longest_first))
        self._merges: deque[Unit] = deque()
        self._submitted: dict[int, Unit] = {}
        self._lost: list[Job] = []
        self._counts = _Counts(total=unchanged + len(pending), unchanged=unchanged)
        self._updated_s = 0.0

    def run(self) -> None:
        """Process all jobs; remove their temporary files if an error or a signal ends the batch."""
        if self._counts.total == self._counts.unchanged:
            return
        try:
            with self._pool:
                while self._submit():
                    interrupts.check()
                    events = self._pool.wait(interrupts.CHECK_S)
                    with self._state.together():
                        for event in events:
                            self._handle(event)
                    self._state.write_table()
                    self._update()
        finally:
            for job in (*self._lost, *(unit.job for unit in self._submitted.values())):
                remove_partial_results(job)

    def summary(self) -> BatchSummary:
        """Return the counts and times."""
        counts = self._counts
        return BatchSummary(
            counts.total, counts.done + counts.unchanged, counts.failed, counts.unchanged, self._meter.frames,
            counts.faces, counts.tracks, counts.duration_s, self._meter.elapsed_s, tuple(counts.failures),
        )  # fmt: skip

    def _units(self, pending: Iterable[BatchSource]) -> Iterator[Unit]:
        """Yield the jobs of all sources, so that only those that are submitted are in memory."""
        for source in pending:
            divided = self._factory.divide(source)
            if divided is None:
                yield self._factory.whole(source)
                continue
            missing = [index for index in range(divided.number) if index not in divided.outcomes]
            for index, outcome in divided.outcomes.items():
                self._meter.finish(source, source.files[chunk_range(index)], outcome)
            if not missing:
                self._finish_chunks(divided)
            yield from (self._factory.chunk(divided, index) for index in missing)

    def _submit(self) -> bool:
        """Submit as many jobs as the pool accepts, and return False if there are none left, submitted or waiting."""
        while len(self._submitted) < self._pool.capacity:
            unit = next(self._waiting, None) if not self._merges else None
            if unit is None:
                if not self._merges:
                    break
                unit = self._merges.popleft()
            self._submitted[unit.job.number] = unit
            self._pool.submit(unit.job)
        return bool(self._submitted)

    def _handle(self, event: PoolEvent) -> None:
        unit = self._submitted.get(event.job)
        if unit is None:
            return
        match event:
            case Progress():
                self._meter.report(event, unit.source)
            case Finished():
                self._finish(unit, event.outcome)
            case Died():
                self._handle_death(unit, event)

    def _handle_death(self, unit: Unit, event: Died) -> None:
        """Submit a job again, unless it has probably killed its worker twice."""
        self._meter.drop(event.job)
        remove_partial_results(unit.job)
        unit.deaths += event.blames_job
        if unit.deaths < MAX_DEATHS:
            self._lost.append(unit.job)
            unit.renew_paths()
            self._pool.submit(unit.job)
            return
        self._finish(unit, Outcome("failed", f"the worker process died twice: {event.reason}"))

    def _finish(self, unit: Unit, outcome: Outcome) -> None:
        """Commit the outcome of a job."""
        self._meter.finish(unit.source, unit.job.files, outcome, unit.job.number)
        if unit.divided is None:
            self._commit(unit.source, outcome, unit.files)
        elif unit.chunk is None:
            total = unit.divided.outcome()
            elapsed_s = round(total.elapsed_s + outcome.elapsed_s, 3)
            merged = outcome if outcome.status == "failed" else total
            self._commit(unit.source, replace(merged, elapsed_s=elapsed_s), unit.files)
        else:
            self._state.commit_chunk(unit.source, unit.chunk, outcome, unit.files)
            unit.divided.outcomes[unit.chunk] = outcome
            if unit.divided.is_finished:
                self._finish_chunks(unit.divided)
        del self._submitted[unit.job.number]

    def _finish_chunks(self, divided: Divided) -> None:
        """Merge the chunks of a source, or commit its failure."""
        outcome = divided.outcome()
        if outcome.status == "failed":
            self._commit(divided.source, outcome, {})
        else:
            self._merges.append(self._factory.merge(divided))

    def _commit(self, source: BatchSource, outcome: Outcome, files: Mapping[Path, Path]) -> None:
        self._state.commit(source, outcome, {} if outcome.status == "failed" else files)
        self._counts.add(source, outcome)

    def _update(self) -> None:
        """Pass the progress to the callback, not too often."""
        now_s = time.monotonic()
        fps = self._meter.fps()
        if self._submitted and now_s < self._updated_s + UPDATE_S:
            return
        self._updated_s = now_s
        counts = self._counts
        running = dict.fromkeys(self._submitted[number].source.path for number in self._meter.running)
        progress = BatchProgress(
            counts.total, counts.done + counts.unchanged, counts.failed, counts.unchanged, self._meter.frames, fps,
            self._meter.eta_s(), tuple(running),
        )  # fmt: skip
        self._on_update(progress)


@dataclass(slots=True)
class _Counts:
    """Counts over the sources of a batch; `done` is without `unchanged`."""

    total: int
    unchanged: int
    done: int = 0
    failed: int = 0
    faces: int = 0
    tracks: int = 0
    duration_s: float = 0.0
    failures: list[tuple[str, str]] = field(default_factory=list)

    def add(self, source: BatchSource, outcome: Outcome) -> None:
        """Count a source."""
        self.faces += outcome.faces
        self.tracks += outcome.tracks
        self.duration_s += outcome.duration_s
        if outcome.status != "failed":
            self.done += 1
            return
        self.failed += 1
        if len(self.failures) < MAX_FAILURES:
            self.failures.append((source.path, outcome.reason))


def _longest_first(source: BatchSource) -> tuple[bool, int]:
    """Return the sort key of a source: videos in descending size, then pictures in descending size."""
    return source.kind != "video", -source.size_bytes
