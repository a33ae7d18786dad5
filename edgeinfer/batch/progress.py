"""Progress of a running batch: counts, speed and the remaining time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from edgeinfer.batch.jobs import BatchSource, Kind, Outcome, Progress

WINDOW_S = 10.0
"""Interval over which the speed is averaged, in seconds."""
_SAMPLE_S = 0.25


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """State of a running batch, for a display.

    Attributes:
        total: Number of sources.
        done: Number of sources that are done, including `unchanged`.
        failed: Number of sources that failed in this call.
        unchanged: Number of sources whose results of an earlier call are kept.
        frames: Number of frames and pictures that this call has processed.
        fps: Frames per second over the last `WINDOW_S` seconds.
        eta_s: Estimated remaining time in seconds, or None before the first result.
        running: Relative paths of the sources in progress, except those that began less than a second ago.
    """

    total: int
    done: int
    failed: int
    unchanged: int
    frames: int
    fps: float
    eta_s: float | None
    running: tuple[str, ...]


class Meter:
    """Speed and remaining time of a batch.

    Videos and pictures are estimated separately. The length of a video is unknown until it is read; the seconds of all
    remaining videos are estimated from their size, by the mean number of seconds per byte so far. Each second of video,
    and each picture, costs the mean processing time so far, and the sum is divided by the mean number of busy workers.
    A kind of which nothing is finished yet is left out.
    """

    def __init__(self, pending: Iterable[BatchSource], clock_s: Callable[[], float] = time.monotonic) -> None:
        """Start the clock.

        Args:
            pending: Sources that will be processed.
            clock_s: Function that returns the time in seconds.
        """
        self._clock_s = clock_s
        self._started_s = clock_s()
        self._amounts: dict[Kind, _Amount] = {"video": _Amount(), "pictures": _Amount()}
        for source in pending:
            self._amounts[source.kind].remaining += _size(source, source.files)
        self._running: dict[int, _Running] = {}
        self._frames = 0
        self._samples: deque[tuple[float, int]] = deque([(self._started_s, 0)])

    @property
    def elapsed_s(self) -> float:
        """Time since the start in seconds."""
        return self._clock_s() - self._started_s

    @property
    def frames(self) -> int:
        """Number of frames processed so far."""
        return self._frames + sum(running.frames for running in self._running.values())

    @property
    def running(self) -> Iterable[int]:
        """Numbers of the jobs that have reported progress and are unfinished."""
        return self._running.keys()

    def report(self, progress: Progress, source: BatchSource) -> None:
        """Note the progress of a job."""
        media = progress.time_s if source.kind == "video" else float(progress.frames)
        before = self._running.get(progress.job)
        started_s = self._clock_s() if before is None else before.started_s
        self._running[progress.job] = _Running(source.kind, progress.frames, media, started_s)

    def drop(self, job: int) -> None:
        """Note that a job will be repeated."""
        self._running.pop(job, None)

    def finish(self, source: BatchSource, files: Sequence[str], outcome: Outcome, job: int | None = None) -> None:
        """Note the end of a job.

        Args:
            source: Source of the job.
            files: Files of the job.
            outcome: Its result.
            job: Number of the job, or None if an earlier call processed it.
        """
        amount, size = self._amounts[source.kind], _size(source, files)
        amount.remaining -= size
        if job is None:
            return
        self._running.pop(job, None)
        self._frames += outcome.frames
        amount.busy_s += outcome.elapsed_s
        if outcome.status != "failed":
            amount.finished += size
            amount.media += outcome.duration_s if source.kind == "video" else outcome.frames

    def fps(self) -> float:
        """Return the frames per second over the last `WINDOW_S` seconds; the first call of a second adds a sample."""
        now_s, frames = self._clock_s(), self.frames
        if now_s - self._samples[-1][0] >= _SAMPLE_S:
            self._samples.append((now_s, frames))
        while len(self._samples) > 2 and self._samples[1][0] < now_s - WINDOW_S:
            self._samples.popleft()
        since_s, before = self._samples[0]
        return max(0.0, (frames - before) / (now_s - since_s)) if now_s > since_s else 0.0

    def eta_s(self) -> float | None:
        """Return the estimated remaining time in seconds, or None before the first result."""
        known = [(kind, amount) for kind, amount in self._amounts.items() if amount.finished]
        if not known:
            return None
        now_s, work_s = self._clock_s(), 0.0
        for kind, amount in known:
            media = sum(running.media for running in self._running.values() if running.kind == kind)
            work_s += max(0.0, amount.remaining * amount.busy_s / amount.finished - media * amount.cost_s)
        busy_s = sum(amount.busy_s for amount in self._amounts.values())
        busy_s += sum(now_s - running.started_s for running in self._running.values())
        return work_s * max(self.elapsed_s, 1e-3) / max(busy_s, 1e-3)


@dataclass(slots=True)
class _Amount:
    """Remaining and finished work of one kind.

    Attributes:
        remaining: Bytes of video, or number of pictures, that are not finished.
        finished: Bytes of video, or number of pictures, that are finished.
        media: Seconds of video, or number of pictures, that are finished.
        busy_s: Processing time of all workers.
    """

    remaining: int = 0
    finished: int = 0
    media: float = 0.0
    busy_s: float = 0.0

    @property
    def cost_s(self) -> float:
        """Processing time of a second of video, or of a picture."""
        return self.busy_s / self.media if self.media > 0 else 0.0


@dataclass(frozen=True, slots=True)
class _Running:
    """Progress of a running job: frames, seconds of video or pictures, and the time of the first report."""

    kind: Kind
    frames: int
    media: float
    started_s: float


def _size(source: BatchSource, files: Sequence[str]) -> int:
    return source.size_bytes if source.kind == "video" else len(files)
