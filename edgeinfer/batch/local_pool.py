"""Pool of worker processes on this machine."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, Self

from edgeinfer.batch.jobs import Died, Finished, Job, PoolEvent, WorkSettings
from edgeinfer.batch.parallelism import choose_workers
from edgeinfer.batch.queue_depth import QueueDepth
from edgeinfer.errors import CapabilityError, EdgeInferError
from edgeinfer.system.portable import INTERRUPTS, signals_blocked

MAX_FAILED_STARTS = 3
"""Number of consecutive workers that end before they are ready, after which the batch ends."""
_END_S = 5.0
"""Time in seconds that a process has between closing its connection and its end."""


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
        self._settings = settings
        self._number, self._description = choose_workers(workers)
        self._workers: dict[Any, _WorkerProcess] = {}
        self._waiting: deque[Job] = deque()
        self._depth = QueueDepth()
        self._failed_starts = 0

    @property
    def capacity(self) -> int:
        """Number of jobs that may be submitted and unfinished."""
        return self._number * (self._depth.largest + 1)

    @property
    def description(self) -> str:
        """Number of workers and the reason for it, such as "2 workers (2 cores, 23.1 GB of memory available)"."""
        return self._description

    def submit(self, job: Job) -> None:
        """Start a job as soon as a worker is free."""
        self._waiting.append(job)
        self._assign()

    def wait(self, timeout_s: float) -> Sequence[PoolEvent]:
        """Return the events that have arrived, after the first one or the timeout.

        Raises:
            EdgeInferError: A worker cannot load the model or the detector, an output cannot be written, or the workers
                end repeatedly while they start.
        """
        events: list[PoolEvent] = []
        self._collect(timeout_s, events)
        if events and self._depth.gather_s:
            time.sleep(self._depth.gather_s)
            self._collect(0, events)
        self._assign()
        return events

    def _collect(self, timeout_s: float, events: list[PoolEvent]) -> None:
        """Add the events that have arrived, after the first one or the timeout."""
        for connection in wait(list(self._workers), timeout_s):
            self._receive(self._workers[connection], events)

    def __enter__(self) -> Self:
        """Start the workers.

        Raises:
            CapabilityError: The system cannot start another process.
        """
        try:
            for _ in range(self._number):
                self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End all workers at once, with the jobs in progress."""
        for worker in self._workers.values():
            worker.kill()
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()

    def _start(self) -> None:
        try:
            worker = _WorkerProcess(self._settings)
        except OSError as error:
            raise CapabilityError(
                f"cannot start a worker process: {error.strerror or error}; use a smaller number of `workers`"
            ) from error
        self._workers[worker.connection] = worker

    def _assign(self) -> None:
        """Send waiting jobs to the workers, evenly."""
        for held in range(self._depth.largest):
            for worker in self._workers.values():
                if not self._waiting or held >= self._depth.limit(self._waiting[0].kind):
                    return
                if worker.is_ready and len(worker.jobs) <= held:
                    worker.send(self._waiting.popleft())

    def _receive(self, worker: _WorkerProcess, events: list[PoolEvent]) -> None:
        """Handle all messages of a worker that have arrived, and its death."""
        while True:
            try:
                if not worker.connection.poll():
                    return
                kind, content = worker.connection.recv()
            except (EOFError, OSError):
                self._replace(worker, events)
                return
            self._handle(worker, kind, content, events)

    def _handle(self, worker: _WorkerProcess, kind: str, content: Any, events: list[PoolEvent]) -> None:
        if kind == "error":
            raise content
        if kind == "ready":
            worker.is_ready = True
            self._failed_starts = 0
            return
        if kind == "finished":
            worker.jobs.popleft()
            self._depth.add(content.outcome)
        events.append(content)

    def _replace(self, worker: _WorkerProcess, events: list[PoolEvent]) -> None:
        """Report the job of a worker that died, resubmit those behind it, and start another worker."""
        del self._workers[worker.connection]
        reason = worker.close()
        if not worker.is_ready:
            self._failed_starts += 1
            if self._failed_starts >= MAX_FAILED_STARTS:
                raise CapabilityError(
                    f"the worker processes end while they start ({reason}); free memory, or use a smaller number of "
                    "`workers`"
                )
        if worker.jobs:
            events.append(Died(worker.jobs.popleft().number, reason))
        self._waiting.extendleft(reversed(worker.jobs))
        self._start()


class _WorkerProcess:
    """Process that runs jobs in the order in which they are sent.

    Attributes:
        connection: Pipe to the process; at its end if the process has died.
        jobs: Unfinished jobs; the first one is running.
        is_ready: True once the process has loaded the model and the detector.
    """

    def __init__(self, settings: WorkSettings) -> None:
        """Start the process.

        Raises:
            OSError: The system cannot start another process.
        """
        context = multiprocessing.get_context("spawn")  # a forked process would share threads' locks and open files
        self.connection, theirs = context.Pipe()
        self.jobs: deque[Job] = deque()
        self.is_ready = False
        self._process = context.Process(target=_serve, args=(theirs, settings), name="edgeinfer worker", daemon=True)
        try:
            with signals_blocked(INTERRUPTS):  # the process inherits the mask; Ctrl-C must not end it while it starts
                self._process.start()
        except BaseException:
            self.connection.close()
            raise
        finally:
            theirs.close()

    def send(self, job: Job) -> None:
        """Add a job; if the process has died, `connection` is at its end."""
        self.jobs.append(job)
        with suppress(OSError):
            self.connection.send(job)

    def kill(self) -> None:
        """Send SIGKILL to the process."""
        self._process.kill()

    def close(self) -> str:
        """Wait until the process has ended, release its resources and return the cause of its end."""
        self.connection.close()
        self._process.join(_END_S)
        self._process.kill()
        self._process.join()
        code = self._process.exitcode or 0
        self._process.close()
        return _cause(code)


def _cause(code: int) -> str:
    """Return the cause of the end of a process from its exit code, which is negative for a signal."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"killed by {name}{', possibly out of memory' if name == 'SIGKILL' else ''}"


def _serve(connection: Connection, settings: WorkSettings) -> None:
    """Run jobs until the parent closes the connection or ends (main function of a worker process)."""
    for number in INTERRUPTS:  # the parent ends the workers
        signal.signal(number, signal.SIG_IGN)
    _discard_output()
    jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
    threading.Thread(target=_receive_jobs, args=(connection, jobs), name="jobs", daemon=True).start()
    try:
        from edgeinfer.batch.worker import Worker  # noqa: PLC0415 - not needed by the parent

        worker = Worker(settings)
        worker.prepare()
        connection.send(("ready", None))
        while True:
            job = jobs.get()
            outcome = worker.process(job, lambda progress: connection.send(("progress", progress)))
            connection.send(("finished", Finished(job.number, outcome)))
    except EdgeInferError as error:
        connection.send(("error", error))
    except Exception as error:  # is not always picklable
        connection.send(("error", RuntimeError(f"{type(error).__name__} in a worker: {error}")))


def _receive_jobs(connection: Connection, jobs: queue.SimpleQueue[Job]) -> None:
    """Receive jobs while others run, and end the process with its parent, even if native code is running."""
    while True:
        try:
            jobs.put(connection.recv())
        except (EOFError, OSError):
            os._exit(1)


def _discard_output() -> None:
    """Redirect the standard streams, to which native libraries write messages about damaged files."""
    devnull = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(devnull, number)
    os.close(devnull)
