"""Pool of a batch without processes, for tests of the coordination."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from edgeinfer.batch.jobs import Finished, Job, Outcome, PoolEvent

DONE = Outcome("done", "", 10, 5, 1, 2.0, 0.5)


def write_results(job: Job) -> None:
    """Write the results of a job: the names of its files, or the contents of its chunks."""
    for suffix, path in job.results.items():
        chunks = [Path(chunk).read_text() for chunk in job.chunks.get(suffix, ())]
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("".join(chunks) or "".join(f"{Path(file).name}\n" for file in job.files))


class FakePool:
    """Pool that finishes one job at each call of `wait`.

    Attributes:
        jobs: Submitted jobs in order; a job that is submitted again is repeated.
        most: Largest number of unfinished jobs.
    """

    description = "2 workers"

    def __init__(
        self, react: Callable[[Job, int], PoolEvent | Outcome | BaseException] = lambda *_: DONE, *, capacity: int = 2
    ) -> None:
        """Store the reaction.

        Args:
            react: Function from a job and the number of its earlier submissions to its event, outcome or error.
            capacity: Number of jobs that may be unfinished.
        """
        self.react, self.capacity = react, capacity
        self.jobs: list[Job] = []
        self.most = 0
        self._unfinished: list[Job] = []
        self._submissions: Counter[int] = Counter()
        self.is_open = False

    def submit(self, job: Job) -> None:
        self.jobs.append(job)
        self._unfinished.append(job)
        self.most = max(self.most, len(self._unfinished))

    def wait(self, timeout_s: float) -> Sequence[PoolEvent]:
        assert self.is_open
        job = self._unfinished[0]
        reaction = self.react(job, self._submissions[job.number])
        if isinstance(reaction, BaseException):
            write_results(job)
            raise reaction
        if isinstance(reaction, Outcome):
            if reaction.status != "failed":
                write_results(job)
            reaction = Finished(job.number, reaction)
        self._unfinished.pop(0)
        if isinstance(reaction, Finished):
            del self._submissions[job.number]
        else:
            self._submissions[job.number] += 1
        return [reaction]

    def __enter__(self) -> Self:
        self.is_open = True
        return self

    def __exit__(self, *_: object) -> None:
        self.is_open = False
