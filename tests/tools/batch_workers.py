"""Main functions of worker processes for tests of the local pool."""

from __future__ import annotations

import os
from multiprocessing.connection import Connection

from edgeinfer.batch.jobs import Finished, Job, Outcome, WorkSettings


def end_at_start(connection: Connection, settings: WorkSettings) -> None:
    """End before the worker is ready."""
    os._exit(3)


def report_tiny_jobs(connection: Connection, settings: WorkSettings) -> None:
    """Finish each job at once, and report a processing time of 1 ms."""
    connection.send(("ready", None))
    while True:
        job: Job = connection.recv()
        connection.send(("finished", Finished(job.number, Outcome("done", elapsed_s=0.001))))
