"""Pool of worker processes on a Ray cluster."""

from __future__ import annotations

import logging
import pickle
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from edgeinfer.batch.jobs import Finished, Job, Outcome, PoolEvent, WorkSettings
from edgeinfer.batch.parallelism import choose_workers
from edgeinfer.batch.queue_depth import QueueDepth
from edgeinfer.batch.ray_cluster import Node, RayCluster, import_ray
from edgeinfer.batch.ray_slot import RaySlot
from edgeinfer.system import interrupts
from edgeinfer.units import counted

NODES_S = 5.0
"""Interval in seconds at which the number of workers is adapted to the nodes."""
LOSS_S = 1.0
"""Interval in seconds at which the nodes are checked after a loss."""
WAITING_S = 30.0
"""Time in seconds without a worker after which a warning is logged."""
_log = logging.getLogger(__name__)


class RayPool:
    """Workers on a Ray cluster, a `WorkerPool`: one actor with one CPU for each worker.

    Ray places the actors, and restarts them elsewhere after their process or node was lost. It repeats no job: the pool
    reports the loss, and the caller submits the job again. Jobs contain paths, so that all nodes must find the sources
    and the results under the same paths.
    """

    def __init__(self, settings: WorkSettings, address: str, workers: int | None = None) -> None:
        """Validate the address; the cluster is connected by `__enter__`.

        Args:
            settings: Settings of all jobs.
            address: Address of the cluster; see `RayCluster`.
            workers: Number of workers, 1 or more; None for one per CPU of the cluster, which is one per core if the
                cluster is started here.

        Raises:
            UsageError: The address is invalid.
            CapabilityError: Ray is not installed.
        """
        self._cluster = RayCluster(address)
        self._address, self._workers = address, workers
        if self._cluster.is_local:
            self._workers, self._description = choose_workers(workers)
            self._description += ", on Ray"
        else:
            self._description = f"Ray workers at {address}"
        self._arguments = (pickle.dumps(settings), str(Path.cwd()))
        self._actor_class: Any = None
        self._slots: list[RaySlot] = []
        self._backlog: deque[Job] = deque()
        self._events: list[PoolEvent] = []
        self._scale_at_s = self._check_at_s = self._ready_at_s = 0.0
        self._depth = QueueDepth()

    def __enter__(self) -> Self:
        """Connect to the cluster and start the actors.

        Raises:
            UsageError: The cluster cannot be reached.
            CapabilityError: Ray cannot be started on this machine.
        """
        self._cluster.connect(self._workers or 1)
        from edgeinfer.batch.ray_worker import STATUS, RayWorker  # noqa: PLC0415 - needs Ray

        self._actor_class = import_ray().remote(
            num_cpus=1,
            max_restarts=-1,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
            concurrency_groups={STATUS: 1},
        )(RayWorker)
        self._ready_at_s = time.monotonic()
        try:
            self._scale()
        except BaseException as error:
            self.__exit__(type(error), error)
            raise
        return self

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, *_: object) -> None:
        """End the actors, with the jobs in progress, and disconnect."""
        for slot in self._slots:
            with suppress(Exception):  # the connection may be lost
                slot.kill()
        self._cluster.close(error)

    @property
    def capacity(self) -> int:
        """Number of jobs that may be submitted and unfinished, by the workers that have loaded the model."""
        return max(1, sum(slot.is_ready for slot in self._slots)) * (self._depth.largest + 1)

    @property
    def description(self) -> str:
        """Number of workers and nodes."""
        return self._description

    def submit(self, job: Job) -> None:
        """Start a job as soon as a worker is free."""
        self._backlog.append(job)
        self._dispatch()

    def wait(self, timeout_s: float) -> Sequence[PoolEvent]:
        """Return the events that have arrived, after the first one or the timeout.

        Raises:
            CapabilityError: edgeinfer is missing on a node or has another version there, the workers end while they
                load the model, or the connection to the cluster is lost.
            EdgeInferError: A worker cannot load the model or the detector, or an output cannot be written.
            Interrupted: The program received SIGINT or SIGTERM.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            self._maintain()
            remaining_s = deadline_s - time.monotonic()
            if self._events or remaining_s <= 0:
                if self._events and self._depth.gather_s:
                    time.sleep(self._depth.gather_s)
                    self._collect(0)
                events, self._events = self._events, []
                return events
            interrupts.check()
            self._collect(min(remaining_s, interrupts.CHECK_S))

    def _collect(self, timeout_s: float) -> None:
        """Wait for the result of any call, and handle all that are available."""
        ray = import_ray()
        references = [reference for slot in self._slots for reference in slot.references]
        if not references:
            time.sleep(timeout_s)
            return
        ready, _ = ray.wait(references, timeout=timeout_s)
        if not ready:
            return
        available = set(ray.wait(references, num_returns=len(references), timeout=0)[0])
        for slot in self._slots:
            slot.collect(available)

    def _maintain(self) -> None:
        """Adapt to the nodes, detect lost ones, and give the workers their next calls."""
        now_s = time.monotonic()
        if now_s >= self._scale_at_s:
            self._scale()
        if now_s >= self._check_at_s and any(slot.holds_jobs for slot in self._slots):
            self._check_at_s = now_s + LOSS_S
            nodes = self.nodes()
            for slot in self._slots:
                slot.resolve(nodes)
        for slot in self._slots:
            slot.advance()
        self._dispatch()
        if any(slot.is_ready for slot in self._slots):
            self._ready_at_s = now_s
        elif now_s - self._ready_at_s > WAITING_S:
            self._ready_at_s = float("inf")
            _log.warning("no worker has started: the Ray cluster has no free CPU, or no node; still waiting")

    def _scale(self) -> None:
        """Create workers for CPUs that have joined the cluster."""
        self._scale_at_s = time.monotonic() + NODES_S
        nodes = self.nodes()
        target = self._workers or sum(node.cpus for node in nodes.values())
        while len(self._slots) < target:
            self._slots.append(RaySlot(self))
        if not self._cluster.is_local:
            workers, where = counted(len(self._slots), "Ray worker"), counted(len(nodes), "node")
            self._description = f"{workers} on {where} at {self._address}"

    def _dispatch(self) -> None:
        """Give waiting jobs to the workers, evenly."""
        for held in range(self._depth.largest):
            for slot in self._slots:
                if not self._backlog or held >= self._depth.limit(self._backlog[0].kind):
                    return
                if slot.is_ready and slot.job_count <= held:
                    slot.submit(self._backlog.popleft())

    def create_actor(self) -> Any:
        """Return a new actor; see `SlotOwner`."""
        return self._actor_class.remote(*self._arguments)

    def nodes(self) -> Mapping[str, Node]:
        """Return the living nodes; see `SlotOwner`."""
        return self._cluster.nodes()

    def report(self, event: PoolEvent) -> None:
        """Keep an event for `wait`; see `SlotOwner`."""
        self._events.append(event)

    def finish(self, job: int, outcome: Outcome) -> None:
        """Keep the result of a job for `wait`; see `SlotOwner`."""
        self._depth.add(outcome)
        self._events.append(Finished(job, outcome))
