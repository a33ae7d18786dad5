"""Metrics of a run in the Prometheus text format, version 0.0.4."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from edgeinfer.outputs.preview.state import PreviewState
from edgeinfer.outputs.summary import RunSummary
from edgeinfer.system.hardware import hottest_c

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Kind = Literal["counter", "gauge", "summary"]


def metrics(state: PreviewState) -> str:
    """Return the current metrics of a run; unknown values are omitted."""
    header, summary = state.header, state.summary()
    found = [] if header is None or summary is None else list(_run_metrics(summary))
    if header is not None:
        labels = {"version": header.versions.get("edgeinfer", ""), "model": header.model, "source": header.source}
        found.append(_metric("edgeinfer_info", "gauge", "Version, model and source of the run.", [(labels, 1)]))
    found += [
        _metric("edgeinfer_up", "gauge", "1 while frames arrive.", [({}, int(state.healthy))]),
        _metric("edgeinfer_frame_age_seconds", "gauge", "Age of the latest frame.", [({}, state.frame_age_s)]),
        _metric("edgeinfer_temperature_celsius", "gauge", "Highest processor temperature.", [({}, hottest_c())]),
        _metric("process_cpu_seconds_total", "counter", "User and system CPU time.", [({}, time.process_time())]),
    ]
    return "".join(found)


def _run_metrics(summary: RunSummary) -> Iterator[str]:
    yield _metric("edgeinfer_frames_total", "counter", "Frames read.", [({}, summary.frames)])
    faces = [({"label": label}, count) for label, count in summary.labels.items()]
    yield _metric("edgeinfer_faces_total", "counter", "Faces in all frames by perceived expression.", faces)
    yield _metric("edgeinfer_dropped_frames_total", "counter", "Frames dropped as late.", [({}, summary.dropped)])
    yield _metric("edgeinfer_skipped_frames_total", "counter", "Undecodable frames.", [({}, summary.skipped)])
    yield _metric("edgeinfer_reconnects_total", "counter", "Reconnects of the source.", [({}, summary.reconnects)])
    stages = [sample for stage, values in summary.stages_ms.items() for sample in _quantiles(values, stage=stage)]
    yield _metric("edgeinfer_stage_seconds", "summary", "Stage time over the last 10,000 frames.", stages)
    delays = list(_quantiles(summary.delay_ms or {}))
    yield _metric("edgeinfer_delay_seconds", "summary", "Delay from capture to the written result.", delays)


def _quantiles(values_ms: Mapping[str, float], **labels: str) -> Iterator[tuple[dict[str, str], float]]:
    for name, value in values_ms.items():
        yield {**labels, "quantile": str(int(name.removeprefix("p")) / 100)}, value / 1000


def _metric(name: str, kind: Kind, text: str, samples: Sequence[tuple[dict[str, str], float | None]]) -> str:
    """Return a metric with its HELP and TYPE lines, or an empty string if no sample has a value."""
    lines = [f"{name}{_labels(labels)} {value:.9g}\n" for labels, value in samples if value is not None]
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n{''.join(lines)}" if lines else ""


def _labels(labels: dict[str, str]) -> str:
    pairs = (f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{','.join(pairs)}}}" if labels else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
