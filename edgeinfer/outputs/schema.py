"""JSON objects of the JSONL format, schema 1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from edgeinfer.errors import path_text
from edgeinfer.outputs.summary import RunHeader, RunSummary
from edgeinfer.results import SourceState

SCHEMA = 1


def header_line(header: RunHeader) -> dict[str, Any]:
    """Return the object of the first line; the threshold of "unknown" is left out if there is none."""
    threshold = {"unknown_below": header.unknown_below} if header.unknown_below else {}
    return {
        "type": "header",
        "schema": SCHEMA,
        "source": path_text(header.source),
        "model": {"name": header.model, "sha256": header.model_sha256, "labels": list(header.labels)},
        "versions": dict(header.versions),
        **threshold,
    }


def source_line(state: SourceState) -> dict[str, Any]:
    """Return the object of a state change of a live source."""
    return {"type": "source", "state": state.state, "time_s": round(state.at_s, 4), "detail": state.detail}


def summary_line(summary: RunSummary) -> dict[str, Any]:
    """Return the object of the last line; counts that do not apply to the source are left out."""
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


def joined_summary(summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the summary line of all chunks of a source; percentiles of times cannot be joined and are left out.

    Args:
        summaries: At least one summary line.
    """
    labels: Counter[str] = Counter()
    for summary in summaries:
        labels.update(summary["labels"])
    skipped = sum(summary.get("skipped", 0) for summary in summaries)
    total = RunSummary(
        frames=sum(summary["frames"] for summary in summaries),
        faces=sum(summary["faces"] for summary in summaries),
        labels=dict(labels),
        elapsed_s=sum(summary["elapsed_s"] for summary in summaries),
        stages_ms={stage: {} for stage in summaries[0]["stages_ms"]},
        skipped=skipped or None,
    )
    return summary_line(total)
