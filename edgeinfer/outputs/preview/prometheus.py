"""Counts of a run in Prometheus' text format, version 0.0.4."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from edgeinfer.outputs.preview.state import PreviewState
from edgeinfer.outputs.summary import RunSummary
from edgeinfer.system.hardware import hottest_c

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Kind = Literal["counter", "gauge", "summary"]


def metrics(board: PreviewState) -> str:
    """Everything that can be counted now; what is not known is left out."""
    header, summary = board.header, board.summary()
    told = [] if header is None or summary is None else list(_of_run(summary))
    if header is not None:
        facts = {"version": header.versions.get("edgeinfer", ""), "model": header.model, "source": header.source}
        told.append(_metric("edgeinfer_info", "gauge", "What reads what.", [(facts, 1)]))
    told += [
        _metric("edgeinfer_up", "gauge", "1 while frames come.", [({}, int(board.well))]),
        _metric("edgeinfer_frame_age_seconds", "gauge", "Since the newest frame.", [({}, board.age_s)]),
        _metric("edgeinfer_temperature_celsius", "gauge", "Hottest part of the processor.", [({}, hottest_c())]),
        _metric("process_cpu_seconds_total", "counter", "User and system time.", [({}, time.process_time())]),
    ]
    return "".join(told)


def _of_run(summary: RunSummary) -> Iterator[str]:
    yield _metric("edgeinfer_frames_total", "counter", "Frames read.", [({}, summary.frames)])
    shown = [({"label": label}, count) for label, count in summary.labels.items()]
    yield _metric("edgeinfer_faces_total", "counter", "Boxes over all frames by perceived expression.", shown)
    yield _metric("edgeinfer_dropped_frames_total", "counter", "Frames left out as late.", [({}, summary.dropped)])
    yield _metric("edgeinfer_skipped_frames_total", "counter", "Frames not decodable.", [({}, summary.skipped)])
    yield _metric("edgeinfer_reconnects_total", "counter", "Times the source came back.", [({}, summary.reconnects)])
    stages = [sample for stage, values in summary.stages_ms.items() for sample in _quantiles(values, stage=stage)]
    yield _metric("edgeinfer_stage_seconds", "summary", "Time of a stage, over the last 10,000 frames.", stages)
    delays = list(_quantiles(summary.delay_ms or {}))
    yield _metric("edgeinfer_delay_seconds", "summary", "From capture to the written result.", delays)


def _quantiles(values_ms: Mapping[str, float], **labels: str) -> Iterator[tuple[dict[str, str], float]]:
    for name, value in values_ms.items():
        yield {**labels, "quantile": str(int(name.removeprefix("p")) / 100)}, value / 1000


def _metric(name: str, kind: Kind, text: str, samples: Sequence[tuple[dict[str, str], float | None]]) -> str:
    lines = [f"{name}{_labels(labels)} {value:.9g}\n" for labels, value in samples if value is not None]
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n{''.join(lines)}" if lines else ""


def _labels(labels: dict[str, str]) -> str:
    pairs = (f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{','.join(pairs)}}}" if labels else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
