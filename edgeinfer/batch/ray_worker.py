"""Worker of a batch inside a Ray actor; this module needs Ray."""

from __future__ import annotations

import os
import pickle
import uuid

import ray

from edgeinfer.batch.jobs import Job, Outcome, Progress
from edgeinfer.batch.ray_cluster import installed_version
from edgeinfer.batch.worker import Worker
from edgeinfer.errors import EdgeInferError, UsageError, shown_path

STATUS = "status"
"""Concurrency group of the method that runs while another one does."""


class RayWorker:
    """Worker in an actor. Ray creates it again, with the same arguments, after its process or node was lost.

    Expected errors are returned, because Ray changes the class of raised ones.
    """

    def __init__(self, settings: bytes, folder: str) -> None:
        """Store the arguments. This must not fail, because Ray would not create the actor again.

        Args:
            settings: Pickled `WorkSettings`.
            folder: Working folder of the batch, to which relative paths refer.
        """
        self._settings, self._folder = settings, folder
        self._identity = uuid.uuid4().hex
        self._worker: Worker | None = None
        self._in_folder = False
        self._progress: Progress | None = None

    def hello(self) -> tuple[str, str, int, str]:
        """Return the version of edgeinfer, the ids of the node and the process, and a text of this instance."""
        return installed_version(), ray.get_runtime_context().get_node_id(), os.getpid(), self._identity

    def prepare(self) -> EdgeInferError | None:
        """Load the model and the detector, after `hello` has shown that the version is that of the driver."""
        try:
            os.chdir(self._folder)
            self._in_folder = True
        except OSError:  # only relative paths need the folder
            self._in_folder = False
        try:
            self._worker = Worker(pickle.loads(self._settings))  # noqa: S301 - from the driver
            self._worker.prepare()
        except EdgeInferError as error:
            return error
        return None

    def process(self, job: Job) -> tuple[Outcome | None, EdgeInferError | None]:
        """Process one job; see `Worker.process`."""
        if self._worker is None:
            raise RuntimeError("the worker is not prepared")
        if not self._in_folder and not all(map(os.path.isabs, (*job.files, *job.results.values()))):
            return None, UsageError(f"the folder {shown_path(self._folder)} does not exist; use full paths")
        self._progress = None
        try:
            return self._worker.process(job, self._report), None
        except EdgeInferError as error:
            return None, error

    @ray.method(concurrency_group=STATUS)  # type: ignore[untyped-decorator]
    def progress(self) -> Progress | None:
        """Return the latest progress of the current job."""
        return self._progress

    def _report(self, progress: Progress) -> None:
        self._progress = progress
