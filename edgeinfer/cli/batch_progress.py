"""Progress display and final table of a batch."""

from __future__ import annotations

from typing import Self

from edgeinfer.batch.engine import BatchProgress, BatchSummary


class BatchDisplay:
    """Live display on a terminal; otherwise one line on stderr every 30 s."""

    def __init__(self, *, enabled: bool) -> None:
        """Create the display; `enabled` is False for `--quiet`."""

    def update(self, progress: BatchProgress) -> None:
        """Show the progress."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def format_batch_summary(summary: BatchSummary, folder: str) -> str:
    """Format the final table of a batch: sources, faces, tracks, time, speed and the first failures.

    Args:
        summary: Result of the batch.
        folder: Output folder, as given.
    """
    raise NotImplementedError
