"""Planning of a batch: sources of the arguments, their relative paths and the names of their results."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgeinfer.batch.finding import MISSING, Finder, FoundFile, FoundSource
from edgeinfer.batch.jobs import BatchSource
from edgeinfer.batch.naming import RESERVED_FOLDERS, RESULT_SUFFIXES, ignores_case, result_names
from edgeinfer.errors import SourceNotFoundError, UsageError, shown_path
from edgeinfer.sources.order import listed, natural_key
from edgeinfer.units import counted, other_files
from edgeinfer.url import without_credentials

_FINGERPRINT_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class Plan:
    """Sources of a batch.

    Attributes:
        sources: In natural order of their path.
        skipped: Paths of the files that are neither a video nor a picture, as given, in natural order.
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

    A file or folder that does not exist is a source too, which fails when it is processed. Unreadable folders and globs
    that match nothing are named in a warning.

    Args:
        arguments: Files, folders, globs, `@LIST`, or "-" for a list on stdin.
        folder: Output folder of the batch, which need not exist.
        per_picture: True to make each picture a source of its own.
        given_names: Result name of each source path that an earlier call gave; these names do not change.

    Raises:
        UsageError: An argument is a camera or a URL, two arguments yield the same path, or a result would overwrite a
            source.
        SourceNotFoundError: No argument matches a video or picture.
        SourceError: A list cannot be read.

    Examples:
        >>> from edgeinfer.model.card import asset_path
        >>> plan = plan_batch([str(asset_path("demo.mp4"))], Path("results"))
        >>> [(source.path, source.kind, source.result) for source in plan.sources]
        [('demo.mp4', 'video', 'demo')]
    """
    finder = Finder(folder, per_picture=per_picture)
    for argument in arguments:
        finder.add(argument)
    found = _without_repetitions(finder.sources)
    if all(file.size_bytes == MISSING for source in found for file in source.files):
        raise SourceNotFoundError(_nothing_found(arguments, finder))
    if finder.walker.unreadable:
        warnings.warn(_unreadable(finder), stacklevel=2)
    if finder.unmatched:
        warnings.warn(f"no file matches {listed(finder.unmatched, ', ')}", stacklevel=2)
    _check_targets(found, folder)
    found = _distinguished(found)
    names = _names([source.path for source in found], folder, given_names or {})
    sources = tuple(_planned(source, name) for source, name in zip(found, names, strict=True))
    return Plan(sources, tuple(sorted(finder.skipped.values(), key=natural_key)))


def rename(plan: Plan, folder: Path, given_names: Mapping[str, str]) -> Plan:
    """Return a plan in which the names of the results agree with those that earlier calls gave.

    Args:
        plan: Sources.
        folder: Output folder of the batch, which need not exist.
        given_names: Result name of each source path that an earlier call gave.
    """
    names = _names([source.path for source in plan.sources], folder, given_names)
    return replace(
        plan,
        sources=tuple(
            source if source.result == name else replace(source, result=name)
            for source, name in zip(plan.sources, names, strict=True)
        ),
    )


def _names(paths: Sequence[str], folder: Path, given_names: Mapping[str, str]) -> list[str]:
    return result_names(paths, given_names, ignore_case=ignores_case(folder))


def _without_repetitions(sources: Sequence[FoundSource]) -> list[FoundSource]:
    """Return the sources in natural order of their path, with each file only once.

    A file that was found repeatedly stays in the source with the first path; paths with fewer symbolic links precede
    the others. The files of each source are in natural order too.
    """
    ordered = sorted(sources, key=lambda source: (natural_key(source.path), source.name))
    for source in ordered:
        if len(source.files) > 1:
            source.files.sort(key=lambda file: natural_key(file.given))
    chosen: dict[int | str, tuple[int, FoundFile]] = {}
    for source in ordered:
        for file in source.files:
            links = source.links + (file.target is not None)
            if file.identity not in chosen or links < chosen[file.identity][0]:
                chosen[file.identity] = links, file
    for source in ordered:
        source.files = [file for file in source.files if chosen[file.identity][1] is file]
    return [source for source in ordered if source.files]


def _distinguished(sources: list[FoundSource]) -> list[FoundSource]:
    """Prefix each path that several sources share with the last component of its argument.

    Returns:
        The sources in natural order of their path.

    Raises:
        UsageError: Two sources still have the same path.
    """
    counts = Counter(source.path for source in sources)
    if len(counts) == len(sources):
        return sources
    for source in sources:
        if counts[source.path] > 1 and source.label:
            source.path = f"{source.label}/{source.path}"
    first: dict[str, FoundSource] = {}
    for source in sources:
        other = first.setdefault(source.path, source)
        if other is not source:
            raise UsageError(
                f"{shown_path(other.name)} and {shown_path(source.name)} have the same path relative to their "
                "argument, so that their results would have the same name; give a folder that contains both, or quote "
                "the glob"
            )
    return sorted(sources, key=lambda source: natural_key(source.path))


def _planned(source: FoundSource, name: str) -> BatchSource:
    identity = hashlib.sha256()
    for file in source.files:
        identity.update(os.fsencode(f"{_resolved(source, file)}\0{file.size_bytes}\0{file.mtime_ns}\n"))
    return BatchSource(
        path=source.path,
        kind=source.kind,
        name=source.name,
        files=tuple(file.given for file in source.files),
        result=name,
        size_bytes=sum(max(0, file.size_bytes) for file in source.files),
        fingerprint=identity.hexdigest()[:_FINGERPRINT_CHARACTERS],
    )


def _resolved(source: FoundSource, file: FoundFile) -> str:
    return file.target or f"{source.folder}/{file.given.rpartition('/')[2]}"


def _check_targets(sources: Sequence[FoundSource], folder: Path) -> None:
    """Check that the results and annotated copies overwrite no source.

    Raises:
        UsageError: A source in the output folder has the place or the suffix of an output.
    """
    out = _inside(folder)
    outputs = tuple(_inside(folder / name) for name in RESERVED_FOLDERS)
    for source in sources:
        for file in source.files:
            path = _resolved(source, file)
            if path.startswith(outputs) or (path.startswith(out) and path.lower().endswith(RESULT_SUFFIXES)):
                raise UsageError(
                    f"the source {shown_path(file.given)} could be overwritten by an output of the batch in `out`; "
                    "choose another folder"
                )


def _inside(folder: Path) -> str:
    """Return the beginning of all resolved paths in a folder."""
    return os.path.realpath(folder).rstrip("/") + "/"


def _unreadable(finder: Finder) -> str:
    folders = sorted(finder.walker.unreadable, key=natural_key)
    return f"{counted(len(folders), 'folder')} cannot be read: {listed(folders, ', ')}"


def _nothing_found(arguments: Sequence[str], finder: Finder) -> str:
    places = listed([without_credentials(argument) for argument in arguments], ", ")
    message = f"no video or picture at {places}{other_files(len(finder.skipped))}"
    return f"{message}; {_unreadable(finder)}" if finder.walker.unreadable else message
