"""Pool of a batch that processes its jobs in the test process, which is much faster than starting workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Self

from edgeinfer.batch.jobs import Finished, Job, PoolEvent, WorkSettings
from edgeinfer.batch.worker import Worker


class InProcessPool:
    """A `WorkerPool` with the parameters of `LocalPool`.

    Attributes:
        capacity: Number of jobs that may be submitted and unfinished.
        description: Sentence for the user.
    """

    capacity = 2

    def __init__(self, settings: WorkSettings, workers: int | None = None) -> None:
        self.description = f"{workers or 'automatic'} workers in the test process"
        self._worker = Worker(settings)
        self._jobs: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        """Add a job to the queue."""
        self._jobs.append(job)

    def wait(self, timeout_s: float) -> Sequence[PoolEvent]:
        """Process one job."""
        job = self._jobs.popleft()
        return [Finished(job.number, self._worker.process(job))]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._jobs.clear()
