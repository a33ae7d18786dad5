"""Jobs of the sources of a batch, with the final names of their results."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from edgeinfer.batch.chunks import chunk_range
from edgeinfer.batch.jobs import CHUNK_PICTURES, BatchSource, Job, Outcome, formats_of
from edgeinfer.options.groups import ResultFormat
from edgeinfer.system.files import partial_path

if TYPE_CHECKING:
    from edgeinfer.batch.state import Annotated, BatchState

MAX_REASONS = 3
"""Number of chunks whose remarks the row of their source contains."""


@dataclass(slots=True)
class Unit:
    """A job and everything that is needed to commit it.

    Attributes:
        job: The job.
        source: Its source.
        files: Final path of each temporary file.
        divided: All chunks of the source, or None if the job is the whole source.
        chunk: Index of the chunk that the job processes; None if it merges all chunks, or is the whole source.
        deaths: Number of worker processes that died of the job.
    """

    job: Job
    source: BatchSource
    files: dict[Path, Path]
    divided: Divided | None = None
    chunk: int | None = None
    deaths: int = 0

    def renew_paths(self) -> None:
        """Give the job other temporary paths, because a lost process may still write to the present ones."""
        token, job = secrets.token_hex(4), self.job
        paths = {str(partial): partial_path(final, token) for partial, final in self.files.items()}
        self.files = {paths[str(partial)]: final for partial, final in self.files.items()}
        self.job = replace(
            job,
            results={suffix: str(paths[partial]) for suffix, partial in job.results.items()},
            annotated_video=None if job.annotated_video is None else str(paths[job.annotated_video]),
            token=token,
        )


@dataclass(slots=True)
class Divided:
    """Pictures of one source that are divided into chunks.

    Attributes:
        source: The source.
        number: Number of chunks.
        outcomes: Outcomes of the finished chunks by index.
    """

    source: BatchSource
    number: int
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        """True if all chunks have an outcome."""
        return len(self.outcomes) == self.number

    def outcome(self) -> Outcome:
        """Return the outcome of the source. It fails if a chunk failed or no picture could be read."""
        parts = [outcome for _, outcome in sorted(self.outcomes.items())]
        failed = [part for part in parts if part.status == "failed"]
        reasons = [part.reason for part in failed or parts if part.reason]
        more = f"; and {len(reasons) - MAX_REASONS} more remarks" if len(reasons) > MAX_REASONS else ""
        elapsed_s = round(sum(part.elapsed_s for part in parts), 3)
        reason = "; ".join(reasons[:MAX_REASONS]) + more
        frames, faces = sum(part.frames for part in parts), sum(part.faces for part in parts)
        if failed or not frames:
            return Outcome("failed", reason, elapsed_s=elapsed_s)
        return Outcome("done" if faces else "no_faces", reason, frames, faces, elapsed_s=elapsed_s)


class UnitFactory:
    """Creates the jobs of a batch, numbered from 1."""

    def __init__(
        self, state: BatchState, formats: Sequence[ResultFormat], annotated: Annotated, *, divides: bool
    ) -> None:
        """Store the arguments.

        Args:
            state: Open state, which determines the paths.
            formats: Formats of the results.
            annotated: Function from a source to the final paths of its annotated copies.
            divides: True to divide more than `CHUNK_PICTURES` pictures into chunks.
        """
        self._state, self._formats, self._annotated, self._divides = state, tuple(formats), annotated, divides
        self._numbers = count(1)

    def divide(self, source: BatchSource) -> Divided | None:
        """Return the chunks of a source, with the outcomes from earlier calls, or None if it is not divided."""
        if source.kind == "video" or len(source.files) <= CHUNK_PICTURES or not self._divides:
            return None
        return Divided(source, -(-len(source.files) // CHUNK_PICTURES), dict(self._state.chunks(source)))

    def whole(self, source: BatchSource) -> Unit:
        """Return the job of a source that is not divided."""
        unit = self._unit(source, source.files, self._results(source))
        copies = self._annotated(source)
        if source.kind == "video":
            for copy in copies:
                partial = partial_path(copy)
                unit.job = replace(unit.job, annotated_video=str(partial))
                unit.files[partial] = copy
            return unit
        return self._with_copies(unit, copies)

    def chunk(self, divided: Divided, index: int) -> Unit:
        """Return the job of one chunk."""
        source, part = divided.source, chunk_range(index)
        formats = formats_of(source.kind, self._formats)
        results = {suffix: self._state.chunk_path(source, index, suffix) for suffix in formats}
        unit = self._unit(source, source.files[part], results)
        unit.job = replace(unit.job, first_index=part.start, is_chunk=True)
        unit.divided, unit.chunk = divided, index
        return self._with_copies(unit, self._annotated(source)[part])

    def merge(self, divided: Divided) -> Unit:
        """Return the job that merges all chunks."""
        source, indices = divided.source, range(divided.number)
        unit = self._unit(source, (), self._results(source))
        chunks = {
            suffix: tuple(str(self._state.chunk_path(source, index, suffix)) for index in indices)
            for suffix in formats_of(source.kind, self._formats)
        }
        unit.job = replace(unit.job, chunks=chunks)
        unit.divided = divided
        return unit

    def _results(self, source: BatchSource) -> dict[ResultFormat, Path]:
        formats = formats_of(source.kind, self._formats)
        return {suffix: self._state.result_path(source, suffix) for suffix in formats}

    def _unit(self, source: BatchSource, files: tuple[str, ...], finals: Mapping[ResultFormat, Path]) -> Unit:
        partials = {suffix: partial_path(final) for suffix, final in finals.items()}
        job = Job(
            next(self._numbers),
            source.path,
            source.kind,
            source.name,
            files,
            0,
            {suffix: str(partial) for suffix, partial in partials.items()},
        )
        return Unit(job, source, {partials[suffix]: finals[suffix] for suffix in finals})

    def _with_copies(self, unit: Unit, copies: Sequence[Path]) -> Unit:
        if copies:
            unit.job = replace(unit.job, annotated_pictures=tuple(str(path) for path in copies))
        return unit
