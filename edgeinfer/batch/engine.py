"""Coordination of a batch: submits the jobs to a pool of workers and commits their outcomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeinfer.batch.jobs import WorkerPool
from edgeinfer.options.groups import ResultFormat

if TYPE_CHECKING:
    from edgeinfer.batch.planning import Plan
    from edgeinfer.batch.state import Annotated, BatchState


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """State of a running batch, for a display.

    Attributes:
        total: Number of sources.
        done: Number of sources that are done, including `unchanged`.
        failed: Number of sources that failed in this call.
        unchanged: Number of sources whose results of an earlier call are kept.
        frames: Number of frames and pictures that this call has processed.
        fps: Frames per second over the last 10 seconds.
        eta_s: Estimated remaining time in seconds, or None before the first frame.
        running: Relative paths of the sources in progress.
    """

    total: int
    done: int
    failed: int
    unchanged: int
    frames: int
    fps: float
    eta_s: float | None
    running: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """Result of a batch.

    Attributes:
        total: Number of sources.
        done: Number of sources that are done, including `unchanged`.
        failed: Number of sources that failed in this call.
        unchanged: Number of sources whose results of an earlier call are kept.
        frames: Number of frames and pictures that this call has processed.
        faces: Number of faces in them.
        tracks: Number of tracks in the videos of this call.
        duration_s: Presentation time of the videos of this call in seconds.
        elapsed_s: Time of this call in seconds.
        failures: (relative path, reason) of the first failures, at most `MAX_FAILURES`.
    """

    total: int
    done: int
    failed: int
    unchanged: int
    frames: int
    faces: int
    tracks: int
    duration_s: float
    elapsed_s: float
    failures: tuple[tuple[str, str], ...]


def run_batch(
    plan: Plan,
    state: BatchState,
    pool: WorkerPool,
    *,
    formats: Sequence[ResultFormat],
    annotated: Annotated | None = None,
    max_frames: int | None = None,
    on_update: Callable[[BatchProgress], None] = lambda _: None,
) -> BatchSummary:
    """Process the sources of a batch that are missing, failed or changed.

    The pool is entered and left here; the caller opens and closes the state.

    Args:
        plan: Sources.
        state: Open state in the batch's folder.
        pool: Workers, not yet entered.
        formats: Formats of the results, each once.
        annotated: Function from a source to the final paths of its annotated copies, as for `BatchState`; None if none
            are requested.
        max_frames: Maximum number of frames of one source, as in the settings of the workers; with a maximum, pictures
            are not divided into chunks.
        on_update: Callback for the progress, called several times per second.

    Returns:
        Counts and times.

    Raises:
        OutputError: A result cannot be written; sources without an outcome stay as they were.
        EdgeInferError: The workers cannot load the model or the detector.
        Interrupted: A signal interrupted the batch; everything that is done is kept.
    """
    raise NotImplementedError
