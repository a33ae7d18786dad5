"""Reader of JSONL results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from edgeinfer.outputs.schema import SCHEMA
from edgeinfer.readers.base import (
    ANONYMOUS,
    FaceRow,
    FrameRow,
    NotAResultError,
    OtherContentError,
    Receiver,
    face_details,
    face_row,
    frame_row,
    run_info,
)

LINE_BYTES = 1 << 24
"""Maximum length of a line; the rest of a longer one is skipped."""


def read_jsonl(path: Path, receiver: Receiver) -> Iterator[None]:
    """Read all runs of a JSONL file, a line per step.

    Args:
        path: Path of the file.
        receiver: Object that receives the runs.

    Raises:
        NotAResultError: The file does not begin with a header, or contains anonymous counts.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        values = _objects(file)
        first = next(values, None)
        if first is None or first.get("type") != "header":
            raise OtherContentError(path, "it does not begin with a header line")
        _begin(path, first, receiver)
        for value in values:
            yield
            _handle(path, value, receiver)


def _handle(path: Path, value: dict[str, Any] | None, receiver: Receiver) -> None:
    """Pass one line to the receiver; lines of other types are ignored."""
    kind = None if value is None else value.get("type")
    if value is None:
        receiver.reject()
    elif kind == "frame":
        _add(value, receiver)
    elif kind == "header":
        _begin(path, value, receiver)
    elif kind == "summary":
        receiver.summarize(value)
    elif kind == "minute":
        raise NotAResultError(path, ANONYMOUS)


def _objects(file: BinaryIO) -> Iterator[dict[str, Any] | None]:
    """Yield the object of each line, or None for a line that is incomplete or not an object."""
    while line := file.readline(LINE_BYTES):
        long = False
        while not line.endswith(b"\n") and len(line) == LINE_BYTES:
            line, long = file.readline(LINE_BYTES), True
        if not long and line.isspace():
            continue
        try:
            value = None if long else json.loads(line)
        except (ValueError, RecursionError):
            value = None
        yield value if isinstance(value, dict) else None


def _begin(path: Path, header: dict[str, Any], receiver: Receiver) -> None:
    if header.get("schema") != SCHEMA:
        raise NotAResultError(path, f"its schema is {str(header.get('schema'))[:20]}, and this version reads {SCHEMA}")
    receiver.begin(run_info(header, lists_all_frames=True))


def _add(value: dict[str, Any], receiver: Receiver) -> None:
    given = value.get("faces")
    frame = frame_row(value.get("frame"), value.get("time_s"), (), value.get("picture"))
    if frame is None or not isinstance(given, list):
        receiver.reject()
        return
    faces = [face for item in given if (face := _face(item, details=receiver.wants_details)) is not None]
    if len(faces) < len(given):
        receiver.reject()
    receiver.add(FrameRow(frame.number, frame.time_s, faces, frame.picture))


def _face(item: Any, *, details: bool) -> FaceRow | None:
    if not isinstance(item, dict):
        return None
    box = item.get("box")
    if not isinstance(box, list):
        return None
    face = face_row(item.get("track"), box, item.get("label"), item.get("confidence"))
    if face is None or not details:
        return face
    return face._replace(details=face_details(item.get("probabilities"), item.get("raw"), item.get("pose")))
