"""State of a batch on disk, so that a second call continues where the first one ended."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

from edgeinfer.batch.chunks import ChunkStore, chunk_fingerprints, chunk_range
from edgeinfer.batch.content import content_hash, identity_hash
from edgeinfer.batch.criteria import Criteria
from edgeinfer.batch.jobs import BatchSource, Outcome, formats_of
from edgeinfer.batch.lock import locked
from edgeinfer.batch.manifest import Entry, Manifests
from edgeinfer.batch.table import Shard, Tables, shard_of
from edgeinfer.errors import EdgeInferError, OutputError, shown_path
from edgeinfer.options.groups import ResultFormat
from edgeinfer.readers.batch_list import STATE_FOLDER
from edgeinfer.system.files import hidden_name

Annotated = Callable[[BatchSource], Sequence[Path]]
"""Function from a source to the final paths of its annotated copies, in the order of its files; empty for none."""


class BatchState(AbstractContextManager["BatchState"]):
    """Manifest, locks and chunks of a batch, in the hidden folder `.edgeinfer` of its results.

    Only the parent process of a batch uses it. Workers write to `system.files.partial_path` of a final path and sync
    that file; `commit` renames it and then records the source, so that results with a final name are complete, and
    recorded ones are up to date. The processes of the workers must be started by exec (spawn, forkserver), because a
    forked one would keep the lock.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settings_key: str,
        formats: Sequence[ResultFormat],
        shard: Shard | None = None,
        annotated: Annotated | None = None,
        fresh: bool = False,
        verify: bool = False,
    ) -> None:
        """Store the folder and the options; nothing is opened.

        Args:
            folder: Folder of the results; created if missing.
            settings_key: Hash of all settings that change results; see `settings_key`.
            formats: Requested formats.
            shard: Number of this part, from 1, and number of parts; None for the whole batch.
            annotated: Requested annotated copies of each source; None if none are requested.
            fresh: Process every source again.
            verify: Compare the contents of the files instead of sizes and modification times.
        """
        self._folder = folder
        self._criteria = Criteria(settings_key, tuple(formats))
        self._shard = shard
        self._annotated: Annotated = annotated or (lambda _: ())
        self._fresh = fresh
        self._verify = verify
        part = "" if shard is None else f".{shard[0]}-of-{shard[1]}"
        self._manifests = Manifests(folder / STATE_FOLDER, f"manifest{part}.jsonl")
        self._chunks = ChunkStore(folder / STATE_FOLDER / "chunks")
        self._tables = Tables(folder, self._manifests, shard)
        self._contents: dict[str, str] = {}
        self._chunk_fingerprints: dict[str, list[str]] = {}
        self._held: list[tuple[BatchSource, Entry]] = []
        self._holds = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Create the folder, lock it and read its manifests.

        Raises:
            OutputError: The folder cannot be created or written, or another batch uses it.
        """
        state = self._folder / STATE_FOLDER
        with self._output_errors(), ExitStack() as stack:
            state.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(self._folder, state, self._shard))
            stack.callback(self._manifests.close)
            self._manifests.open()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Release the locks."""
        self._stack.close()

    @property
    def names(self) -> Mapping[str, str]:
        """Names of results (`BatchSource.result`) given in earlier calls, by the path of the source."""
        return _Names(self._manifests)

    def result_path(self, source: BatchSource, suffix: ResultFormat) -> Path:
        """Return the final path of a result."""
        return self._folder / f"{source.result}.{suffix}"

    def chunk_path(self, source: BatchSource, index: int, suffix: ResultFormat) -> Path:
        """Return the final path of a chunk's result, from which the result of the source is merged."""
        return self._chunks.path(source, hidden_name(f"{index}.{suffix}"))

    def own(self, sources: Sequence[BatchSource]) -> Iterator[BatchSource]:
        """Yield the sources of this shard, or all without a shard."""
        shard = self._shard
        return (source for source in sources if shard is None or shard_of(source.path, shard[1]) == shard[0])

    def pending(self, sources: Sequence[BatchSource]) -> list[BatchSource]:
        """Return the sources that must be processed, in the given order. Call this once, with the whole plan.

        With a shard, only its sources are returned. With `verify`, this reads all files.

        Raises:
            OutputError: The folder cannot be read or written.
            Interrupted: A signal arrived while the files were read.
        """
        updates = list[Entry]()
        with self._output_errors():
            pending = [source for source in self.own(sources) if not self._is_finished(source, updates)]
            if updates:
                self._manifests.append(updates)
            self._tables.plan([source.path for source in sources])
            self._chunks.remove(pending if self._fresh else (), others_than=pending if self._shard is None else None)
        return pending

    def chunks(self, source: BatchSource) -> Mapping[int, Outcome]:
        """Return the outcomes of the chunks that an earlier call has committed and that are still valid, by index.

        Call this before the chunks of a source are processed: it notes the state of the files.

        Raises:
            OutputError: The folder cannot be read.
        """
        fingerprints = chunk_fingerprints(source, content_hash if self._verify else identity_hash)
        self._chunk_fingerprints[source.path] = fingerprints
        copies, formats = self._annotated(source), formats_of(source.kind, self._criteria.formats)
        with self._output_errors():
            return {
                index: entry.outcome
                for index, entry in self._chunks.entries(source).items()
                if index < len(fingerprints)
                and self._criteria.is_current(entry, fingerprints[index])
                and self._criteria.is_complete(
                    entry,
                    [str(self.chunk_path(source, index, suffix)) for suffix in formats],
                    copies[chunk_range(index)],
                )
            }

    def commit_chunk(self, source: BatchSource, index: int, outcome: Outcome, files: Mapping[Path, Path]) -> None:
        """Rename the temporary files of a chunk and record it; a failed chunk is not recorded.

        Args:
            source: Pictures of a folder, for which `chunks` was called.
            index: Index of the chunk, from 0; chunk i starts at picture i * CHUNK_PICTURES.
            outcome: Result of the chunk.
            files: Final path (see `chunk_path`) of each temporary file.

        Raises:
            OutputError: A file cannot be renamed, or the record cannot be written.
        """
        if outcome.status == "failed":
            return
        fingerprint = self._chunk_fingerprints[source.path][index]
        with self._output_errors():
            before = self._chunks.entries(source).get(index)
            if before is not None and not self._criteria.is_current(before, fingerprint):
                self._chunks.append(source, before.outdated(), sync=False)  # as in `commit`
            _rename(files)
            copies = self._annotated(source)[chunk_range(index)]
            self._chunks.append(source, self._criteria.entry(str(index), "", fingerprint, outcome, copies))

    def commit(self, source: BatchSource, outcome: Outcome, files: Mapping[Path, Path]) -> None:
        """Rename the temporary files of a source, record its outcome, and remove its chunks unless it failed.

        Args:
            source: Source that was processed.
            outcome: Its result.
            files: Final path of each temporary file; empty for a failed source, whose earlier results are kept.

        Raises:
            OutputError: A file cannot be renamed, or the record cannot be written.
        """
        with self._output_errors():
            before = self._manifests.get(source.path)
            current = before is not None and self._criteria.is_current(before, source.fingerprint)
            if before is not None and not (before.failed or current):
                # After a kill between the renames, the entry must not describe files that were replaced.
                self._manifests.append([before.outdated()], sync=False)
            _rename(files)
            entry = self._criteria.entry(
                source.path, source.result, source.fingerprint, outcome, self._annotated(source)
            )
        if before is not None and current and not entry.failed:
            formats = tuple(sorted({*entry.formats, *before.formats}))
            entry = replace(entry, formats=formats, copies=before.copies if entry.copies is None else entry.copies)
        self._held.append((source, replace(entry, content=self._contents.pop(source.path, ""))))
        if not self._holds:
            self._record()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Record all commits inside the block with one write and one sync, at its end, also after an exception."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
            if not self._holds:
                self._record()

    def write_table(self, *, force: bool = False) -> None:
        """Rewrite batch.csv atomically, and the table of the shard.

        Without `force`, the call does nothing if rewriting would cost more than 2 % of the time since the last call.

        Raises:
            OutputError: A table cannot be written.
        """
        with self._output_errors():
            self._tables.write(force=force)

    def _record(self) -> None:
        """Write the entries of all commits so far, and remove the chunks that they replace."""
        held, self._held = self._held, []
        if not held:
            return
        with self._output_errors():
            self._manifests.append(entry for _, entry in held)
        for source, entry in held:
            if self._chunk_fingerprints.pop(source.path, None) is not None and not entry.failed:
                self._chunks.remove([source])

    def _is_finished(self, source: BatchSource, updates: list[Entry]) -> bool:
        """Return True if the results of a source are complete and current; append a changed entry to the updates."""
        content = content_hash(source.files) if self._verify else ""
        entry = self._manifests.get(source.path)
        if self._fresh:
            if entry is not None and entry.settings:
                updates.append(entry.outdated())
        elif entry is not None and self._has_results(entry, source):
            same = content == entry.content if content and entry.content else entry.fingerprint == source.fingerprint
            if same and self._criteria.is_current(entry, entry.fingerprint):
                if (entry.fingerprint, entry.content) != (source.fingerprint, content or entry.content):
                    updates.append(replace(entry, fingerprint=source.fingerprint, content=content or entry.content))
                return True
        if content:
            self._contents[source.path] = content
        return False

    def _has_results(self, entry: Entry, source: BatchSource) -> bool:
        """Return True if an entry names all requested files of a source, and they exist."""
        formats = formats_of(source.kind, self._criteria.formats)
        results = [f"{self._folder}/{source.result}.{suffix}" for suffix in formats]
        return entry.result == source.result and self._criteria.is_complete(entry, results, self._annotated(source))

    @contextmanager
    def _output_errors(self) -> Iterator[None]:
        """Turn an OSError into an OutputError that names the folder."""
        try:
            yield
        except EdgeInferError:
            raise
        except OSError as error:
            # Windows does not replace an open file, for example a table in a spreadsheet program.
            in_use = sys.platform == "win32" and isinstance(error, PermissionError)
            remedy = "; close the programs that have its files open, and repeat the command" if in_use else ""
            reason = error.strerror or error
            raise OutputError(f"cannot write to {shown_path(self._folder)}: {reason}{remedy}") from error


class _Names(Mapping[str, str]):
    """Names of results by the path of the source."""

    def __init__(self, manifests: Manifests) -> None:
        self._manifests = manifests

    def __getitem__(self, source: str) -> str:
        return self._manifests[source].result

    def __iter__(self) -> Iterator[str]:
        return iter(self._manifests)

    def __len__(self) -> int:
        return len(self._manifests)


def _rename(files: Mapping[Path, Path]) -> None:
    """Rename temporary files to their final paths, whose folders are created."""
    for partial, final in files.items():
        final.parent.mkdir(parents=True, exist_ok=True)
        partial.replace(final)
