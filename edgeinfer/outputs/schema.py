"""What is told of a run: its header and summary, and every line of JSONL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import Frame, Result, SourceState

SCHEMA = 1


def header_line(header: RunHeader) -> dict[str, Any]:
    """The first line."""
    model = {"name": header.model, "sha256": header.model_sha256, "labels": list(header.labels)}
    told = {"type": "header", "schema": SCHEMA, "source": header.source, "model": model}
    return {**told, "versions": dict(header.versions)}


def frame_line(frame: Frame, result: Result) -> dict[str, Any]:
    """The line of a frame."""
    faces = [
        {
            "track": face.track_id,
            "box": list(face.box.xywh),
            "label": face.emotion.label,
            "confidence": round(face.emotion.confidence, 4),
            "probabilities": rounded(face.emotion.probabilities),
            "raw": rounded(face.raw.probabilities),
        }
        for face in result.faces
    ]
    return {"type": "frame", "frame": frame.index, "time_s": round(frame.timestamp_s, 4), "faces": faces}


def source_line(state: SourceState) -> dict[str, Any]:
    """The line of what happened to a live source."""
    return {"type": "source", "state": state.state, "time_s": round(state.at_s, 4), "detail": state.detail}


def summary_line(summary: RunSummary) -> dict[str, Any]:
    """The last line."""
    optional = {
        "delay_ms": None if summary.delay_ms is None else dict(summary.delay_ms),
        "dropped": summary.dropped,
        "reconnects": summary.reconnects,
        "skipped": summary.skipped,
    }
    return {
        "type": "summary",
        "frames": summary.frames,
        "faces": summary.faces,
        "labels": dict(summary.labels),
        "elapsed_s": round(summary.elapsed_s, 3),
        "fps": round(summary.fps, 1),
        "stages_ms": {stage: dict(values) for stage, values in summary.stages_ms.items()},
        **{name: value for name, value in optional.items() if value is not None},
    }


def rounded(probabilities: Mapping[str, float]) -> dict[str, float]:
    """Probabilities as they are written."""
    return {label: round(value, 4) for label, value in probabilities.items()}
