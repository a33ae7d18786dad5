"""Result files, and the choice of one among the results of one source in several formats."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeinfer.errors import CapabilityError, SourceError, shown_path
from edgeinfer.readers.base import SUFFIXES, FrameRow, RunInfo
from edgeinfer.readers.batch_list import BatchEntry
from edgeinfer.readers.select import CHECK_STEPS, read_steps
from edgeinfer.system import interrupts


@dataclass(frozen=True, slots=True)
class ResultFile:
    """One result file.

    Attributes:
        path: Path of the file.
        shown: Path as text, for display.
        name: Name of the source in its batch, or None to take it from the result.
        entry: Row of the batch's list, or None.
        named: True if the file is an argument; False if it was only found in a folder.
        folder: Folder of the batch, or of the file.
    """

    path: Path
    shown: str
    name: str | None
    entry: BatchEntry | None
    named: bool
    folder: Path


def each_once(files: Sequence[ResultFile]) -> list[ResultFile]:
    """Return each file once, also if it has several paths or was both named and found in a folder.

    Raises:
        SourceError: A file cannot be read.
    """
    found: dict[tuple[int, int], ResultFile] = {}
    for file in files:
        try:
            status = file.path.stat()
        except OSError as error:
            raise SourceError(f"{shown_path(file.path)} cannot be read: {error.strerror}") from error
        first = found.setdefault((status.st_dev, status.st_ino), file)
        known = file if first.entry is None and file.entry is not None else first
        found[status.st_dev, status.st_ino] = replace(known, named=first.named or file.named)
    return list(found.values())


def one_per_source(files: Sequence[ResultFile]) -> tuple[list[ResultFile], list[tuple[ResultFile, ResultFile]]]:
    """Choose one of the results of each source in several formats.

    Files that differ only in their suffix are of one source if the list of their batch, their headers or their first
    faces state so. If nothing distinguishes them, one is chosen among files that were found in a folder only.

    Returns:
        The chosen files, and each other one with the file that was chosen instead.
    """
    groups: dict[Path, list[ResultFile]] = {}
    for file in files:
        groups.setdefault(file.path.with_suffix(""), []).append(file)
    left_out: dict[ResultFile, ResultFile] = {}
    for group in groups.values():
        if len(group) > 1:
            left_out |= _left_out(group)
    return [file for file in files if file not in left_out], list(left_out.items())


def _left_out(files: Sequence[ResultFile]) -> dict[ResultFile, ResultFile]:
    """Return each file of a source that has a result in a preferred format, and the latter."""
    of_one_entry = files[0].entry is not None and len({file.entry for file in files}) == 1
    starts = {} if of_one_entry else {file.path: _start_of(file.path) for file in files}
    left_out: dict[ResultFile, ResultFile] = {}
    ranked = sorted(files, key=_rank)
    for number, file in enumerate(ranked):
        for other in ranked[:number]:
            same = of_one_entry or _have_same_source(starts[file.path], starts[other.path])
            if other not in left_out and (same or (same is None and not (file.named or other.named))):
                left_out[file] = other
                break
    return left_out


def _rank(file: ResultFile) -> int:
    """Return the preference of a format: Parquet is the last one if it cannot be read."""
    suffix = file.path.suffix.lower()
    if suffix not in SUFFIXES or (suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None):
        return len(SUFFIXES)
    return SUFFIXES.index(suffix)


class _Start:
    """Receiver of the beginning of a result, which identifies its source.

    Attributes:
        info: Header of the first run, or None before it.
        has_pictures: True for pictures, False for a video, None if unknown.
        face: Values of the first frame with a face, or None without any.
        complete: True if nothing after it matters.
    """

    wants_details = False

    def __init__(self) -> None:
        self.info: RunInfo | None = None
        self.has_pictures: bool | None = None
        self.face: tuple[object, ...] | None = None
        self.complete = False

    def begin(self, info: RunInfo) -> None:
        if self.info is None:
            self.info, self.has_pictures = info, info.has_pictures
        else:
            self.complete = True

    def add(self, frame: FrameRow) -> None:
        if self.complete:
            return
        self.has_pictures = frame.picture is not None
        if frame.faces:
            self.face, self.complete = (frame.number, frame.time_s, frame.picture, *frame.faces), True

    def list_all_frames(self) -> None: ...

    def summarize(self, summary: Mapping[str, Any]) -> None: ...

    def reject(self) -> None: ...


def _start_of(path: Path) -> _Start | None:
    """Return the beginning of a result, without a header if it is not one; None if a package for reading is missing."""
    start = _Start()
    try:
        for step, _ in enumerate(read_steps(path, start), 1):
            if start.complete:
                break
            if step % CHECK_STEPS == 0:
                interrupts.check()
    except CapabilityError:
        return None
    except OSError:  # reported when the file is read
        return _Start()
    return start


def _have_same_source(first: _Start | None, second: _Start | None) -> bool | None:
    """Compare the sources of two results; None if nothing distinguishes them and nothing shows that they are equal."""
    if first is None or second is None:
        return None
    if first.info is None or second.info is None:
        return None if first.info is second.info else False
    sources = first.info.given or first.info.source, second.info.given or second.info.source
    if None not in sources:
        return sources[0] == sources[1]
    if first.has_pictures is not second.has_pictures and None not in (first.has_pictures, second.has_pictures):
        return False
    return None if first.face is None and second.face is None else first.face == second.face
