"""Benchmark of a run on this machine: time per stage, memory and start-up time, with a noise estimate."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2

from edgeinfer.diagnostics.measurement import Measurement, Noise, Report
from edgeinfer.errors import OutputError
from edgeinfer.options.build import build_capture, build_pipeline
from edgeinfer.options.groups import CaptureOptions, DetectionOptions, ModelOptions
from edgeinfer.outputs.jsonl import JsonlSink
from edgeinfer.pipeline import Pipeline
from edgeinfer.results import Frame, Result
from edgeinfer.runner import run
from edgeinfer.sources.base import Source
from edgeinfer.sources.factory import open_source, source_or_demo
from edgeinfer.system.files import write_file
from edgeinfer.system.hardware import (
    cpu_name,
    limit_opencv_threads,
    peak_memory_mb,
    temperatures_c,
    throttling,
    usable_cores,
    versions,
)
from edgeinfer.system.portable import involuntary_switches

FRAMES, WARM_UP_FRAMES, STARTS = 500, 25, 3
"""Numbers of measured frames, warm-up frames, and new processes whose start is timed."""

_REFERENCE = bytes(2**17)
_START = """
import json, sys, edgeinfer
from edgeinfer.options.build import build_capture, build_pipeline
from edgeinfer.options.groups import CaptureOptions, DetectionOptions, ModelOptions
from edgeinfer.system.portable import involuntary_switches
model, detection, capture, continuous = json.loads(sys.argv[2])
pipeline = build_pipeline(ModelOptions(**model), DetectionOptions(**detection), continuous=continuous)
with edgeinfer.open_source(sys.argv[1], mode="file", capture=build_capture(CaptureOptions(**capture))) as source:
    pipeline(next(iter(source)).image)
print("result", flush=True)
"""


def benchmark(
    source: str | int | Path | None = None,
    *,
    model: ModelOptions | None = None,
    detection: DetectionOptions | None = None,
    capture: CaptureOptions | None = None,
    max_frames: int = FRAMES,
) -> Report:
    """Measure a run: read, detect, track, classify and write JSONL, frame after frame.

    The first 25 frames are a warm-up. Next, three new processes measure the time to the first result. Then the source
    is opened again, repeatedly if necessary, until enough frames are measured.

    Args:
        source: As for `open_source`; None or "demo" for the demo clip. Every frame is read in order.
        model: Expression model options; `threads` None means 1 thread for the model and OpenCV's default.
        detection: Detector options.
        capture: Format and orientation of the frames.
        max_frames: Number of frames to measure, 1 or more.

    Returns:
        All measured times and a description of the machine.

    Raises:
        SourceError: The source does not exist or cannot be read.
        ModelError: A model is missing or invalid.
        UsageError: An option is out of range or does not apply to the detector.
        CapabilityError: OpenCV lacks a feature that the detector needs.
    """
    name = source_or_demo(source)
    model, detection = model or ModelOptions(), detection or DetectionOptions()
    capture = capture or CaptureOptions()
    limit_opencv_threads(model.threads, live=False)
    before_c, load = temperatures_c(), os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    with open_source(name, mode="file", capture=build_capture(capture)) as opened:
        pipeline = build_pipeline(model, detection, continuous=opened.continuous)
        _Recorder(pipeline).run(opened, WARM_UP_FRAMES)
    start = _measure_starts(name, [asdict(model), asdict(detection), asdict(capture), opened.continuous])
    recorder = _Recorder(pipeline)
    started_s, switches = time.perf_counter(), involuntary_switches()
    while recorder.frames < max_frames:
        with open_source(name, mode="file", capture=build_capture(capture)) as opened:
            recorder.run(opened, max_frames - recorder.frames)
    switches = involuntary_switches() - switches
    elapsed_s = time.perf_counter() - started_s
    card = getattr(pipeline.classifier, "card", None)
    return Report(
        source=opened.name, size_wh=recorder.size_wh, warm_up_frames=WARM_UP_FRAMES,
        frames=recorder.frames, passes=recorder.passes, faces=recorder.faces,
        stages=tuple(Measurement(stage, tuple(times)) for stage, times in recorder.times_ms.items()),
        frame=Measurement("frame", tuple(recorder.frame_ms)), start=start, peak_memory_mb=peak_memory_mb(),
        model=card.name if card else "", model_sha256=card.sha256 if card else "",
        threads={"opencv": cv2.getNumThreads(), "model": model.threads or 1},
        machine=_machine(before_c),
        noise=Noise(
            Measurement("reference", tuple(recorder.reference_ms)), switches, elapsed_s, load, usable_cores()
        ),
        versions=versions(), measured=datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip


def write_report(report: Report, path: Path) -> None:
    """Write all measurements as JSON.

    Raises:
        OutputError: The file cannot be written.
    """
    try:
        write_file(path, json.dumps(report.to_mapping()) + "\n")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; only the table was printed") from error


class _Recorder:
    """Recorder of all times of a pipeline that processes sources."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._resumed_s: float | None = None
        self.frames = self.passes = self.faces = 0
        self.size_wh = (0, 0)
        self.times_ms: dict[str, list[float]] = {}
        self.frame_ms: list[float] = []
        self.reference_ms: list[float] = []

    def run(self, source: Source, max_frames: int) -> None:
        """Process a source from its start."""
        self._pipeline.reset()
        self.passes += 1
        self._resumed_s = None
        run(source, self._pipeline, [JsonlSink(os.devnull)], max_frames=max_frames, on_frame=self._add)

    def _add(self, frame: Frame, result: Result, stages_ms: Mapping[str, float]) -> None:
        now_s = time.perf_counter()
        for stage, value in stages_ms.items():
            self.times_ms.setdefault(stage, []).append(value)
        # Before the first frame, the runner also writes the header.
        first = self._resumed_s is None
        self.frame_ms.append(sum(stages_ms.values()) if first else 1000 * (now_s - (self._resumed_s or 0.0)))
        self.frames += 1
        self.faces += len(result.faces)
        self.size_wh = (frame.image.shape[1], frame.image.shape[0])
        started_s = time.perf_counter()
        hashlib.sha256(_REFERENCE)
        self._resumed_s = time.perf_counter()
        self.reference_ms.append(1000 * (self._resumed_s - started_s))


def _measure_starts(source: str, options: list[Any]) -> Measurement:
    """Measure the time from the start of a new process to its first result, in milliseconds."""
    command = [sys.executable, "-c", _START, source, json.dumps(options, default=str)]
    environment = {**os.environ, "OPENCV_LOG_LEVEL": "SILENT", "OPENCV_FFMPEG_LOGLEVEL": "-8"}
    times_ms = []
    for _ in range(STARTS):
        started_s = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:  # noqa: S603 - no shell
            line = process.stdout.readline() if process.stdout else b""
            times_ms.append(1000 * (time.perf_counter() - started_s))
        if line != b"result\n":
            raise RuntimeError(f"a new process ended without a result (exit code {process.returncode})")
    return Measurement("start", tuple(times_ms))


def _machine(before_c: Mapping[str, float]) -> dict[str, Any]:
    return {
        "architecture": platform.machine(), "system": f"{platform.system()} {platform.release()}", "cpu": cpu_name(),
        "cores": os.cpu_count(), "usable_cores": usable_cores(),
        "temperatures_c": {"before": dict(before_c), "after": temperatures_c()}, "throttling": throttling(),
    }  # fmt: skip
