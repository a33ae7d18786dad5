"""Sources of a batch for tests of its state, which read no file format."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path

from edgeinfer.batch.content import identity_hash
from edgeinfer.batch.jobs import BatchSource, Kind, Outcome
from edgeinfer.batch.state import Annotated, BatchState
from edgeinfer.batch.table import Shard
from edgeinfer.options.groups import ResultFormat
from edgeinfer.system.files import partial_path

DONE = Outcome("done", "", 10, 5, 1, 2.0, 0.5)
FAILED = Outcome("failed", "damaged", elapsed_s=0.1)


@dataclass(frozen=True)
class Batch:
    """Folders and options of a batch; `state()` opens it as a new call of the command does."""

    folder: Path
    settings: str = "a"
    formats: tuple[ResultFormat, ...] = ("csv",)
    shard: Shard | None = None
    annotated: Annotated | None = None
    verify: bool = False
    fresh: bool = field(default=False, kw_only=True)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def state(self) -> BatchState:
        return BatchState(
            self.out,
            settings_key=self.settings,
            formats=self.formats,
            shard=self.shard,
            annotated=self.annotated,
            fresh=self.fresh,
            verify=self.verify,
        )

    def pending(self, sources: list[BatchSource]) -> list[str]:
        """Return the paths that a new call would process."""
        with self.state() as state:
            return [source.path for source in state.pending(sources)]

    def process(self, sources: list[BatchSource], *, limit: int | None = None, outcome: Outcome = DONE) -> list[str]:
        """Process the pending sources as a whole call does, or the first of them, and return their paths."""
        with self.state() as state:
            pending = state.pending(sources)[:limit]
            for source in pending:
                commit(state, source, self, outcome)
            state.write_table(force=True)
        return [source.path for source in pending]

    def rows(self, name: str = "batch.csv") -> list[dict[str, str]]:
        """Return the rows of a table."""
        with (self.out / name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


def source(folder: Path, path: str, content: str = "content", *, kind: Kind = "video") -> BatchSource:
    """Write a file and return it as a source."""
    file = folder / "in" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.is_file() or file.read_text() != content:
        file.write_text(content)
    return found(path, [file], kind=kind)


def found(path: str, files: list[Path], *, kind: Kind = "video", result: str | None = None) -> BatchSource:
    """Return files as a source, in their present state."""
    names = tuple(map(str, files))
    name = str(Path(path).with_suffix("")) if result is None else result
    return BatchSource(path, kind, names[0], names, name, 0, identity_hash(names))


def commit(state: BatchState, source: BatchSource, batch: Batch, outcome: Outcome = DONE) -> None:
    """Write the results of a source, which consist of the settings and the contents, and commit them."""
    files = {}
    for suffix in batch.formats if outcome.status != "failed" else ():
        final = state.result_path(source, suffix)
        final.parent.mkdir(parents=True, exist_ok=True)
        partial_path(final).write_text(result_text(source, batch))
        files[partial_path(final)] = final
    state.commit(source, outcome, files)


def result_text(source: BatchSource, batch: Batch) -> str:
    """Return the expected content of a result."""
    return batch.settings + "".join(Path(file).read_text() for file in source.files)
