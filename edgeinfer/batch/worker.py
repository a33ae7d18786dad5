"""Processing of the jobs of a batch in one process."""

from __future__ import annotations

from collections.abc import Callable

from edgeinfer.batch.jobs import Job, Outcome, Progress, WorkSettings


class Worker:
    """Pipeline of one worker process: the model and the cascade are loaded once, for all jobs.

    Importing this module loads neither OpenCV nor onnxruntime; `prepare` does.
    """

    def __init__(self, settings: WorkSettings) -> None:
        """Store the settings; see `prepare`."""
        self._settings = settings

    def prepare(self) -> None:
        """Limit the threads of this process and load the model and the detector, once; `process` calls it too.

        Raises:
            UsageError: An option is out of range or does not apply to the detector or the model.
            CapabilityError: OpenCV lacks a feature that the detector needs.
            ModelError: A model or cascade is missing or invalid.
        """
        raise NotImplementedError

    def process(self, job: Job, on_progress: Callable[[Progress], None] = lambda _: None) -> Outcome:
        """Process one job and write its results to their temporary paths.

        Args:
            job: Source, chunk of pictures, or chunks to merge.
            on_progress: Callback for the progress, called at most twice per second.

        Returns:
            The outcome. An unreadable source, a lack of memory and an unexpected exception are outcomes with the status
            "failed", without results.

        Raises:
            OutputError: A result cannot be written.
            EdgeInferError: See `prepare`.
        """
        raise NotImplementedError
