"""Pool of worker processes on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from edgeinfer.batch.jobs import Job, PoolEvent, WorkSettings


class LocalPool:
    """Worker processes on this machine, a `WorkerPool`.

    Each process has one OpenCV thread, and runs its jobs in order. A process that dies is replaced. The processes end
    when this one ends, even by SIGKILL.
    """

    def __init__(self, settings: WorkSettings, workers: int | None = None) -> None:
        """Choose the number of workers; they are started by `__enter__`.

        Args:
            settings: Settings of all jobs.
            workers: Number of processes, 1 or more; None for as many as cores and memory allow.
        """

    @property
    def capacity(self) -> int:
        """Number of jobs that may be submitted and unfinished."""
        raise NotImplementedError

    @property
    def description(self) -> str:
        """Number of workers and the reason for it, such as "2 workers (2 cores, 23.1 GB of memory available)"."""
        raise NotImplementedError

    def submit(self, job: Job) -> None:
        """Start a job as soon as a worker is free."""
        raise NotImplementedError

    def wait(self, timeout_s: float) -> Sequence[PoolEvent]:
        """Return the events that have arrived, after the first one or the timeout.

        Raises:
            EdgeInferError: A worker cannot load the model or the detector, an output cannot be written, or the workers
                end repeatedly while they start.
        """
        raise NotImplementedError

    def __enter__(self) -> Self:
        raise NotImplementedError

    def __exit__(self, *_: object) -> None:
        raise NotImplementedError
