"""Planning of a batch: sources of the arguments, their relative paths and the names of their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeinfer.batch.jobs import BatchSource


@dataclass(frozen=True, slots=True)
class Plan:
    """Sources of a batch.

    Attributes:
        sources: In natural order of their path.
        skipped: Paths of the files that are neither a video nor a picture, as given.
    """

    sources: tuple[BatchSource, ...]
    skipped: tuple[str, ...]


def plan_batch(
    arguments: Sequence[str],
    folder: Path,
    *,
    per_picture: bool = False,
    given_names: Mapping[str, str] | None = None,
) -> Plan:
    """Find the sources of a batch.

    Args:
        arguments: Files, folders, globs, `@LIST`, or "-" for a list on stdin.
        folder: Output folder of the batch, which need not exist.
        per_picture: True to make each picture a source of its own.
        given_names: Result name of each source path that an earlier call gave; these names do not change.

    Raises:
        UsageError: An argument is a camera or a URL, two arguments yield the same path, or a result would overwrite a
            source.
        SourceNotFoundError: No argument matches a video or picture.
    """
    raise NotImplementedError
