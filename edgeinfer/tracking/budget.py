"""Time budget of a live run: detection work that a slow machine spreads over several frames."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from edgeinfer.detection.pyramid import Pyramid

SHARE = 1.0
"""Default of the time for detection relative to the rest of the time, waiting for the next frame included."""
MAX_WAIT, MAX_WAIT_BUSY = 1, 3
"""Number of frames without a task after which the next one runs even if the budget does not allow it: at first only if
the frame has no other detection work, later in any case."""
MAX_SAVED = 1.5
"""Number of frames for which unused time is saved up, so that a task may take longer than the allowance of a frame."""
START_S = 1 / 30
"""Assumed time of a frame without detection before it is measured, in seconds."""
AVERAGE_WEIGHT = 0.2
"""Weight of a new measurement in the moving averages of times."""
MAX_OUTLIER = 4.0
"""Multiple of the average to which a measurement is limited: a pause of the camera does not mean a slow machine."""
NOTICE_S = 5.0
"""Time before the notice that the machine is too slow, in seconds."""
NOTICE_SHARE, NOTICE_WEIGHT = 0.5, 0.05
"""Share of frames with unfinished tasks above which the machine is too slow, and the weight of a frame in it."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Task:
    """A part of the detection that runs within one frame.

    Attributes:
        kind: Tasks of one kind take a time in proportion to their size.
        size: Size in any unit, above 0.
        run: Function that runs the task on a frame, at a time in seconds.
    """

    kind: Hashable
    size: float
    run: Callable[[Pyramid, float], None]


class TimeBudget:
    """Queue of tasks; as many run per frame as the time allows.

    The allowance per frame is a share of the moving average of the rest of its time: tracking, classification, outputs,
    and waiting for the next frame. On a machine with enough time the queue is empty after each frame.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter, *, share: float = SHARE) -> None:
        """Create an empty queue.

        Args:
            clock: Monotonic time in seconds, by which work is measured.
            share: Time for detection relative to the rest of the time, above 0.
        """
        self._clock, self._begun_s, self._share = clock, clock(), share
        self._urgent: deque[Task] = deque()
        self._tasks: deque[Task] = deque()
        self._urgent_next = True
        self._rest_s, self._credit_s = START_S, share * START_S
        self._costs_s: dict[Hashable, float] = {}
        self._frame_s: float | None = None
        self._spent_s = 0.0
        self._waited = 0
        self._unfinished, self._noticed = 0.0, False

    @property
    def allowance_s(self) -> float:
        """Average time for detection per frame in seconds."""
        return self._share * self._rest_s

    @property
    def largest_s(self) -> float:
        """Longest time of a task that the budget allows, in seconds."""
        return MAX_SAVED * self.allowance_s

    @property
    def ready(self) -> bool:
        """True if all urgent tasks have run."""
        return not self._urgent

    def has(self, kind: Hashable) -> bool:
        """Return True if a task of a kind is in the queue."""
        return any(task.kind == kind for task in (*self._urgent, *self._tasks))

    def start_frame(self) -> None:
        """Measure the time since the start of the previous frame, and add the allowance for this one."""
        now_s = self._clock()
        if self._frame_s is not None:
            rest_s = max(0.0, now_s - self._frame_s - self._spent_s)
            self._rest_s = _average(self._rest_s, rest_s)
        self._frame_s, self._spent_s = now_s, 0.0
        self._waited += 1
        saved_s = max(self._credit_s, -self.allowance_s) + self.allowance_s
        self._credit_s = min(self.largest_s, saved_s)
        self._update_notice(now_s)

    def _update_notice(self, now_s: float) -> None:
        self._unfinished += NOTICE_WEIGHT * (bool(self._urgent or self._tasks) - self._unfinished)
        if not self._noticed and self._unfinished > NOTICE_SHARE and now_s - self._begun_s >= NOTICE_S:
            self._noticed = True
            _log.warning(
                "this machine is too slow for the source: new faces are found later, and frames may be dropped; "
                "request smaller frames or a lower frame rate, or stop other programs"
            )

    def add(self, task: Task, *, urgent: bool = False) -> None:
        """Append a task to the queue; urgent ones alternate with the others."""
        (self._urgent if urgent else self._tasks).append(task)

    def add_first(self, task: Task) -> None:
        """Insert a task before the others."""
        self._urgent.appendleft(task)
        self._urgent_next = True

    def restart(self) -> None:
        """Discard the queue, because the scene has changed; the next task runs at once."""
        self._urgent.clear()
        self._tasks.clear()
        self._waited = MAX_WAIT_BUSY + 1

    def run_next(self, pyramid: Pyramid, now_s: float) -> bool:
        """Run the next task if this frame has time for it; return False if not.

        Args:
            pyramid: Frame.
            now_s: Time of the frame in seconds.
        """
        urgent = bool(self._urgent) and (self._urgent_next or not self._tasks)
        queue = self._urgent if urgent else self._tasks
        if not queue:
            return False
        task = queue[0]
        overdue = self._waited > (MAX_WAIT_BUSY if self._spent_s else MAX_WAIT)
        if not overdue and not self.affords(task.kind, task.size):
            return False
        queue.popleft()
        self._waited, self._urgent_next = 0, not urgent
        with self.spend(task.kind, task.size):
            task.run(pyramid, now_s)
        return True

    def affords(self, kind: Hashable, size: float = 1.0) -> bool:
        """Return True if this frame has time for a task; tasks of an unknown kind are assumed to cost nothing."""
        return self.cost_s(kind, size) <= self._credit_s

    def cost_s(self, kind: Hashable, size: float = 1.0) -> float:
        """Return the expected time of a task in seconds, 0 if it is unknown."""
        return self._costs_s.get(kind, 0.0) * size

    def expect(self, kind: Hashable, cost_s: float) -> None:
        """Set the expected time of a task with size 1 in seconds, unless it was measured; 0 if it is unknown."""
        if cost_s > 0:
            self._costs_s.setdefault(kind, cost_s)

    @contextmanager
    def spend(self, kind: Hashable, size: float = 1.0) -> Iterator[None]:
        """Measure the time of a task."""
        started_s = self._clock()
        yield
        spent_s = self._clock() - started_s
        self._spent_s += spent_s
        self._credit_s -= spent_s
        known_s = self._costs_s.get(kind, 0.0)
        self._costs_s[kind] = _average(known_s, spent_s / size) if known_s > 0 else spent_s / size


def _average(average: float, value: float) -> float:
    """Return the moving average after another value."""
    return average + AVERAGE_WEIGHT * (min(value, MAX_OUTLIER * average) - average)
