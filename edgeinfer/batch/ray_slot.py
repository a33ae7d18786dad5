"""One worker of a Ray pool: an actor, the jobs that it was given, and its restarts."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Collection, Mapping
from typing import Any, Literal, Protocol

from edgeinfer.batch.jobs import Died, Job, Outcome, PoolEvent
from edgeinfer.batch.ray_cluster import Node, import_ray, installed_version
from edgeinfer.errors import CapabilityError, EdgeInferError

RETRY_S = 0.5
"""Time in seconds between two calls to an actor that is being restarted."""
STATUS_S = 2.0
"""Time in seconds between two requests for the progress of a worker."""
MAX_FAILED_STARTS = 3
"""Number of consecutive deaths of a worker while it loads the model, after which the batch ends."""
LOST_S = 90.0
"""Time in seconds after which a lost process is blamed on its job; Ray needs up to 65 s to notice a lost node."""

_log = logging.getLogger(__name__)


class SlotOwner(Protocol):
    """Role of the pool of a slot."""

    def create_actor(self) -> Any:
        """Return a new actor of the class `RayWorker`."""

    def nodes(self) -> Mapping[str, Node]:
        """Return the living nodes by their ids."""

    def report(self, event: PoolEvent) -> None:
        """Pass an event on."""

    def finish(self, job: int, outcome: Outcome) -> None:
        """Pass the result of a job on."""


class RaySlot:
    """Actor with its jobs.

    After the loss of a process or a node, Ray reports only that the actor is unavailable. Its jobs are held until the
    actor answers again or its node is marked as dead, which shows the cause. Until then the old process may still run.

    Attributes:
        process_id: Process id of the actor on its node; 0 before it has started.
    """

    def __init__(self, owner: SlotOwner) -> None:
        """Create the actor."""
        self._owner = owner
        self._actor = owner.create_actor()
        self._state: Literal["starting", "preparing", "ready"] = "starting"
        self._call: Any = None
        self._status: Any = None
        self._call_at_s = self._status_at_s = self._lost_at_s = 0.0
        self._failed_starts = 0
        self._node_id = self._identity = self._address = ""
        self.process_id = 0
        self._jobs: deque[tuple[Job, Any]] = deque()
        self._held: list[Job] = []

    @property
    def is_ready(self) -> bool:
        """True if the model is loaded."""
        return self._state == "ready"

    @property
    def job_count(self) -> int:
        """Number of submitted and unfinished jobs."""
        return len(self._jobs)

    @property
    def holds_jobs(self) -> bool:
        """True if the process was lost and the cause is not known yet."""
        return bool(self._held)

    @property
    def references(self) -> list[Any]:
        """References to the results of all unfinished calls."""
        calls = (self._call, self._status, *(reference for _, reference in self._jobs))
        return [reference for reference in calls if reference is not None]

    def submit(self, job: Job) -> None:
        """Give a job to the actor."""
        self._jobs.append((job, self._actor.process.remote(job)))

    def advance(self) -> None:
        """Make the next calls that are due."""
        now_s = time.monotonic()
        if self._state == "starting" and self._call is None and now_s >= self._call_at_s:
            self._call = self._actor.hello.remote()
        if self._jobs and self._status is None and now_s >= self._status_at_s:
            self._status_at_s = now_s + STATUS_S
            self._status = self._actor.progress.remote()

    def collect(self, available: Collection[Any]) -> None:
        """Handle the results of finished calls.

        Args:
            available: References to available results.

        Raises:
            CapabilityError: edgeinfer is missing on the node or has another version there, or the worker ends
                repeatedly while it loads the model.
            EdgeInferError: The worker cannot load the model or the detector, or an output cannot be written.
        """
        if self._status in available:
            progress, _ = _result(self._status)
            self._status = None
            if progress is not None and self._jobs and progress.job == self._jobs[0][0].number:
                self._owner.report(progress)
        while self._jobs and self._jobs[0][1] in available:
            self._finish_job()
        if self._call in available:
            result, lost = _result(self._call)
            self._call = None
            if lost is not None:
                self._fail_start(lost)
            elif self._state == "starting":
                self._greet(*result)
            else:
                self._raise(result)
                self._state, self._failed_starts = "ready", 0

    def resolve(self, nodes: Mapping[str, Node]) -> None:
        """Release the held jobs if the node of the lost process is dead, or the cause has been unknown for too long.

        Args:
            nodes: Living nodes.
        """
        if self._held and self._node_id not in nodes:
            _log.warning("the Ray node %s was lost; its jobs start again on other nodes", self._address)
            self._release(f"the Ray node {self._address} was lost", blames_job=False)
        elif self._held and time.monotonic() - self._lost_at_s > LOST_S:
            self._release(self._death, blames_job=True)

    def kill(self) -> None:
        """End the actor and its process."""
        import_ray().kill(self._actor, no_restart=True)

    @property
    def _death(self) -> str:
        return f"process {self.process_id} on the Ray node {self._address} ended unexpectedly"

    def _finish_job(self) -> None:
        job, reference = self._jobs[0]
        result, lost = _result(reference)
        if lost is not None:
            self._held, self._lost_at_s = [held for held, _ in self._jobs], time.monotonic()
            self._jobs.clear()
            self._restart(lost)
            return
        self._jobs.popleft()
        outcome, error = result
        self._raise(error)
        self._owner.finish(job.number, outcome)

    def _raise(self, error: EdgeInferError | None) -> None:
        """Raise an error that the worker has returned."""
        if error is not None:
            error.args = (f"{error} (on the Ray node {self._address})",)
            raise error

    def _greet(self, version: str, node_id: str, process_id: int, identity: str) -> None:
        """Handle the answer of an actor that was started, or was unavailable for a while."""
        nodes = self._owner.nodes()
        address = nodes[node_id].address if node_id in nodes else node_id
        if version != installed_version():
            raise CapabilityError(
                f"the Ray node {address} has edgeinfer {version}, but this machine has {installed_version()}; install "
                "the same version on all nodes"
            )
        self.resolve(nodes)
        if self._held:
            self._release(self._death, blames_job=identity != self._identity)
        self._node_id, self._address, self.process_id, self._identity = node_id, address, process_id, identity
        self._state = "preparing"
        self._call = self._actor.prepare.remote()

    def _fail_start(self, lost: Exception) -> None:
        if self._state == "preparing":
            self._failed_starts += 1
            if self._failed_starts >= MAX_FAILED_STARTS:
                raise CapabilityError(
                    f"a worker ends repeatedly while it loads the model: {self._death}; free memory there, or use a "
                    "smaller number of `workers`"
                ) from lost
        self._restart(lost)

    def _restart(self, lost: Exception) -> None:
        """Wait for the restart by Ray, or replace an actor that Ray does not restart."""
        if isinstance(lost, import_ray().exceptions.ActorDiedError):
            if lost.actor_init_failed:
                raise CapabilityError(_missing_package(str(lost))) from lost
            self._actor = self._owner.create_actor()
        self._state, self._call, self._status = "starting", None, None
        self._call_at_s = time.monotonic() + RETRY_S

    def _release(self, reason: str, *, blames_job: bool) -> None:
        running, *waiting = self._held
        self._held = []
        self._owner.report(Died(running.number, reason, blames_job))
        for job in waiting:  # the lost process may still start these too
            self._owner.report(Died(job.number, reason, blames_job=False))


def _result(reference: Any) -> tuple[Any, Exception | None]:
    """Return the result of a call, or Ray's error about a lost actor; other errors are raised without a traceback."""
    ray = import_ray()
    try:
        return ray.get(reference), None
    except ray.exceptions.RayTaskError as error:
        raise RuntimeError(f"{type(error.cause).__name__} in a worker: {error.cause}") from error
    except ray.exceptions.RayError as error:
        return None, error


def _missing_package(text: str) -> str:
    """Return the sentence about a node on which the class of the actor cannot be loaded."""
    lines = [line for line in text.splitlines() if line.startswith(("ModuleNotFoundError: ", "ImportError: "))]
    cause = lines[-1].partition(": ")[2] if lines else "the worker cannot be created"
    return (
        f"a Ray node cannot load edgeinfer ({cause}); install edgeinfer {installed_version()} on all nodes, in the "
        "environment that Ray uses"
    )
