"""Number of jobs that a worker holds."""

from __future__ import annotations

from edgeinfer.batch.jobs import Kind, Outcome

AHEAD_S = 0.5
"""Processing time of the jobs that wait in a worker while it runs another one, in seconds.

Without them, a worker with small jobs would idle while the results of the last one are committed. Longer jobs wait in
the pool, so that the next free worker takes them.
"""
MAX_AHEAD: dict[Kind, int] = {"video": 1, "pictures": 15}
"""Maximum number of jobs that wait in a worker; the next video may be much longer than the last ones."""
GATHER_S = 0.01
_SMOOTHING = 0.1
_SHORTEST_S = 1e-3


class QueueDepth:
    """Number of jobs that a worker holds, from the processing times of the last ones.

    Examples:
        >>> depth = QueueDepth()
        >>> depth.limit("pictures")
        1
        >>> depth.add(Outcome("done", elapsed_s=0.1))
        >>> depth.limit("pictures"), depth.limit("video"), depth.largest
        (6, 2, 6)
    """

    def __init__(self) -> None:
        self._mean_s: float | None = None

    def add(self, outcome: Outcome) -> None:
        """Include the processing time of a job; failures are too fast to count."""
        if outcome.status != "failed":
            before_s = outcome.elapsed_s if self._mean_s is None else self._mean_s
            self._mean_s = before_s + _SMOOTHING * (outcome.elapsed_s - before_s)

    def limit(self, kind: Kind) -> int:
        """Return the maximum number of jobs of a worker, including the one that it runs, if the last is of a kind."""
        ahead = 0 if self._mean_s is None else int(AHEAD_S / max(self._mean_s, _SHORTEST_S))
        return 1 + min(MAX_AHEAD[kind], ahead)

    @property
    def largest(self) -> int:
        """Maximum number of jobs of a worker for the kind with the largest."""
        return max(map(self.limit, MAX_AHEAD))

    @property
    def gather_s(self) -> float:
        """Time in seconds to wait for further events after the first one, so that tiny jobs are committed together."""
        return GATHER_S if self.largest > MAX_AHEAD["pictures"] else 0.0
