"""What is told of a run: its header and summary, and every line of JSONL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from edgeinfer.frames import Frame
from edgeinfer.patience import SourceState
from edgeinfer.results import Result

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class RunHeader:
    """What a run reads and with what.

    Attributes:
        source: its name.
        fps: frames a second where the source tells, else None.
        labels: the classifier's, in order.
        model: name of the model.
        model_sha256: of its file, hexadecimal; empty for a classifier without one.
        versions: package name to version.
    """

    source: str
    fps: float | None
    labels: tuple[str, ...]
    model: str
    model_sha256: str
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run saw and what it cost.

    Attributes:
        frames: read.
        faces: boxes over all frames.
        labels: label to number of faces that showed it.
        elapsed_s: from the first read to the last output closed, in seconds.
        stages_ms: stage to {"p50", "p95"} in milliseconds, over the last 10,000 frames.
        delay_ms: {"p50", "p95"} from a frame's capture to the end of its writing, in milliseconds, over as many frames;
            None unless the source is live.
        dropped: frames that a live source left out, None for the others.
        reconnects: how often a live source was lost and came back, None for the others.
        skipped: frames that could not be decoded, None where there was none.
    """

    frames: int
    faces: int
    labels: Mapping[str, int]
    elapsed_s: float
    stages_ms: Mapping[str, Mapping[str, float]]
    delay_ms: Mapping[str, float] | None = None
    dropped: int | None = None
    reconnects: int | None = None
    skipped: int | None = None

    @property
    def fps(self) -> float:
        """Frames a second of the whole run."""
        return self.frames / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def dominant(self) -> str | None:
        """The label shown most, None without faces."""
        return max(self.labels, key=lambda label: self.labels[label]) if self.faces else None

    def since(self, earlier: RunSummary) -> RunSummary:
        """What came after an earlier summary of the run; `stages_ms` and `delay_ms` stay those of the last frames."""
        labels = {label: count - earlier.labels.get(label, 0) for label, count in self.labels.items()}
        return replace(
            self,
            frames=self.frames - earlier.frames,
            faces=self.faces - earlier.faces,
            labels={label: count for label, count in labels.items() if count},
            elapsed_s=self.elapsed_s - earlier.elapsed_s,
            dropped=_less(self.dropped, earlier.dropped),
            reconnects=_less(self.reconnects, earlier.reconnects),
            skipped=_less(self.skipped, earlier.skipped),
        )


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


def _less(count: int | None, earlier: int | None) -> int | None:
    return None if count is None else count - (earlier or 0)
