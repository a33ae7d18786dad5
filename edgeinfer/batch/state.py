"""State of a batch on disk, so that a second call continues where the first one ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Self

from edgeinfer.batch.jobs import BatchSource, Outcome
from edgeinfer.options.groups import ResultFormat

Annotated = Callable[[BatchSource], Sequence[Path]]
"""Function from a source to the final paths of its annotated copies, in the order of its files; empty for none."""


def partial_path(final: Path) -> Path:
    """Return the path of the temporary file for a result: hidden, in the same folder, with the same suffix."""
    return final.with_name(f".partial.{final.name}")


def shard_of(path: str, parts: int) -> int:
    """Return the number of the shard, 1..parts, that a source belongs to."""
    raise NotImplementedError


class BatchState(AbstractContextManager["BatchState"]):
    """Manifest, locks and chunks of a batch, in the hidden folder `.edgeinfer` of its results.

    Only the parent process of a batch uses it. Workers write to `partial_path` of a final path and sync that file;
    `commit` renames it and then records the source, so that results with a final name are always complete. The
    processes of the workers must be started by exec (spawn, forkserver), because a forked one would keep the lock.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settings_key: str,
        formats: Sequence[ResultFormat],
        shard: tuple[int, int] | None = None,
        annotated: Annotated | None = None,
        fresh: bool = False,
        verify: bool = False,
    ) -> None:
        """Set the folder and the options; nothing is opened.

        Args:
            folder: Folder of the results; created if missing.
            settings_key: Hash of all settings that change results; see `settings_key`.
            formats: Requested formats.
            shard: Number of this part, from 1, and number of parts; None for the whole batch.
            annotated: Requested annotated copies of each source; None if none are requested.
            fresh: Process every source again.
            verify: Compare the content of sources instead of sizes and modification times.
        """
        raise NotImplementedError

    def __enter__(self) -> Self:
        """Create the folder, lock it and read its manifests.

        Raises:
            OutputError: The folder cannot be created or written, or another batch uses it.
        """
        raise NotImplementedError

    def __exit__(self, *_: object) -> None:
        """Release the locks."""
        raise NotImplementedError

    @property
    def names(self) -> Mapping[str, str]:
        """Results' names (`BatchSource.result`) given in earlier calls, by the path of the source."""
        raise NotImplementedError

    def result_path(self, source: BatchSource, suffix: ResultFormat) -> Path:
        """Return the final path of a result."""
        raise NotImplementedError

    def chunk_path(self, source: BatchSource, index: int, suffix: ResultFormat) -> Path:
        """Return the path of a committed chunk's result, from which the result of the source is merged."""
        raise NotImplementedError

    def pending(self, sources: Sequence[BatchSource]) -> list[BatchSource]:
        """Return the sources that must be processed, in the given order. Call this once, with the whole plan.

        With a shard, only its sources are returned.

        Raises:
            OutputError: The manifest cannot be written.
        """
        raise NotImplementedError

    def chunks(self, source: BatchSource) -> Mapping[int, Outcome]:
        """Return the outcomes of the chunks that an earlier call has committed and that are still valid, by index."""
        raise NotImplementedError

    def commit_chunk(self, source: BatchSource, index: int, outcome: Outcome, files: Mapping[Path, Path]) -> None:
        """Rename the temporary files of a chunk and record it; a failed chunk is not recorded.

        Args:
            source: Pictures of a folder.
            index: Index of the chunk, from 0; chunk i starts at picture i * CHUNK_PICTURES.
            outcome: Result of the chunk.
            files: Final path (see `chunk_path`) of each temporary file.

        Raises:
            OutputError: A file cannot be renamed, or the record cannot be written.
        """
        raise NotImplementedError

    def commit(self, source: BatchSource, outcome: Outcome, files: Mapping[Path, Path]) -> None:
        """Rename the temporary files of a source, record its outcome, and remove its chunks unless it failed.

        Args:
            source: Source that was processed.
            outcome: Its result.
            files: Final path of each temporary file; empty for a failed source, whose earlier results are kept.

        Raises:
            OutputError: A file cannot be renamed, or the record cannot be written.
        """
        raise NotImplementedError

    @contextmanager
    def together(self) -> Iterator[None]:
        """Record all commits inside the block with one write and one sync, at its end, also after an exception."""
        raise NotImplementedError

    def write_table(self, *, force: bool = False) -> None:
        """Rewrite batch.csv atomically, and the table of the shard.

        Without `force`, the call does nothing if rewriting would cost more than 2 % of the time since the last call.

        Raises:
            OutputError: A table cannot be written.
        """
        raise NotImplementedError
