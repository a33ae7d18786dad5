"""Hand-made result files for tests of the report."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from edgeinfer.results import LABELS

Faces = Sequence[Mapping[str, Any]]
"""Faces of one frame as in JSONL."""
COLUMNS = ("frame", "time_s", "track", "x", "y", "w", "h", "label", "confidence", *LABELS)
MODEL = {"name": "tiny", "sha256": "ab" * 32, "labels": list(LABELS)}


def face(label: str, confidence: float = 0.9, track: int = 1, width: int = 60) -> dict[str, Any]:
    """Return a face as in JSONL."""
    shares = {name: round((1 - confidence) / 6, 4) for name in LABELS}
    return {"track": track, "box": [10, 20, width, width], "label": label, "confidence": confidence,
            "probabilities": shares, "raw": shares}  # fmt: skip


def steady(faces: Iterable[Faces], fps: float = 10.0) -> list[tuple[float, Faces]]:
    """Return frames at a constant rate that begin at 0 s."""
    return [(number / fps, each) for number, each in enumerate(faces)]


def jsonl_lines(
    frames: Iterable[tuple[float, Faces]],
    *,
    source: str = "clip.mp4",
    summary: Mapping[str, Any] | None = MappingProxyType({}),
    pictures: Sequence[str] = (),
    **header: Any,
) -> list[str]:
    """Return the lines of a JSONL result; without a summary, those of a killed run."""
    lines: list[dict[str, Any]] = [
        {"type": "header", "schema": 1, "source": source, "model": MODEL, "versions": {"edgeinfer": "9.9"}, **header}
    ]
    for number, (time_s, faces) in enumerate(frames):
        picture = {"picture": pictures[number]} if pictures else {}
        lines.append({"type": "frame", "frame": number, **picture, "time_s": round(time_s, 4), "faces": list(faces)})
    if summary is not None:
        lines.append({"type": "summary", "frames": 0, "faces": 0, "elapsed_s": 1.0, **summary})
    return [json.dumps(line) for line in lines]


def write_jsonl(path: Path, frames: Iterable[tuple[float, Faces]], **options: Any) -> Path:
    """Write a JSONL result; see `jsonl_lines`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(jsonl_lines(frames, **options)) + "\n")
    return path


def write_csv(
    path: Path,
    frames: Iterable[tuple[float, Faces]],
    *,
    empty_frames: bool = False,
    pictures: Sequence[str] = (),
) -> Path:
    """Write a CSV result."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([*(["picture"] if pictures else []), *COLUMNS])
        for number, (time_s, faces) in enumerate(frames):
            first = [*([pictures[number]] if pictures else []), number, round(time_s, 4)]
            for each in faces:
                shares = each["probabilities"].values()
                table.writerow([*first, each["track"], *each["box"], each["label"], each["confidence"], *shares])
            if empty_frames and not faces:
                table.writerow([*first, *[""] * (len(COLUMNS) - 2)])
    return path


def write_parquet(
    path: Path, sources: Sequence[str], *, header: bool = True, given: str = "given.mp4", **columns: Sequence[object]
) -> Path:
    """Write a Parquet result with a row per source; without pyarrow, skip the test.

    Args:
        path: Path of the file.
        sources: Values of the column source.
        header: Add the header and the summary.
        given: Source in the header.
        columns: Values that replace those of other columns.
    """
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    count = len(sources)
    values = {
        "source": sources, "picture": [None] * count, "frame": list(range(count)),
        "time_s": [0.1 * number for number in range(count)], "track": [1] * count, "x": [0] * count, "y": [0] * count,
        "w": [40] * count, "h": [40] * count, "label": ["happy"] * count, "confidence": [0.5] * count, **columns,
    }  # fmt: skip
    table = pa.table(values)
    if header:
        metadata = {
            "edgeinfer.header": jsonl_lines([], source=given)[0],
            "edgeinfer.summary": json.dumps({"frames": 9}),
        }
        table = table.replace_schema_metadata(metadata)
    pq.write_table(table, path)
    return path


def write_batch_table(folder: Path, *rows: Sequence[object]) -> Path:
    """Write the list of a batch; a row has source, status and optionally reason, frames and duration_s."""
    path = folder / "batch.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["source", "status", "reason", "frames", "faces", "tracks", "duration_s", "elapsed_s"])
        for row in rows:
            source, status, reason, frames, duration_s = (*row, *["", 0, 0.0][len(row) - 2 :])
            table.writerow([source, status, reason, frames, 0, 0, duration_s, 1.0])
    return path
