"""What a run costs on this machine: time by stage, memory, start; and whether the figures can be trusted."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2

from edgeinfer.diagnostics.measurement import Measurement, Noise, Report
from edgeinfer.errors import OutputError
from edgeinfer.expression.classifier import EmotionClassifier
from edgeinfer.model.card import asset_path
from edgeinfer.outputs.jsonl import JsonlSink
from edgeinfer.pipeline import Pipeline, load_pipeline
from edgeinfer.results import Frame
from edgeinfer.sources.base import Source
from edgeinfer.sources.factory import open_source
from edgeinfer.system.hardware import (
    cpu_name,
    limit_opencv_threads,
    peak_memory_mb,
    temperatures_c,
    throttling,
    usable_cores,
    versions,
)
from edgeinfer.tracking.locator import Auto

FRAMES, WARM_UP_FRAMES, STARTS = 500, 25, 3
"""Frames that are measured, frames read before them, and fresh processes that are timed."""

_REFERENCE = bytes(2**17)
_START = """
import json, sys, edgeinfer
pipeline = edgeinfer.load_pipeline(**json.loads(sys.argv[2]))
with edgeinfer.open_source(sys.argv[1], mode="file") as source:
    pipeline(next(iter(source)).image)
print("result", flush=True)
"""


def benchmark(
    source: str | int | Path | None = None,
    *,
    model: str | Path | None = None,
    detector: str = "haar",
    detector_model: str | Path | None = None,
    cascade: str | Path | None = None,
    detect_every: int | Auto = "auto",
    threads: int | None = None,
    max_frames: int = FRAMES,
) -> Report:
    """Measure a run: read, detect, track, classify and write JSONL, frame after frame.

    25 frames are read first to warm up; then the source is opened anew, and again whenever it ends, until enough
    frames are measured. Three fresh processes before that tell the time to a first result.

    Args:
        source: as for `open_source`; None for the demo clip. Every frame is read in order.
        model: as for `load_pipeline`.
        detector: as for `load_pipeline`.
        detector_model: as for `load_pipeline`.
        cascade: as for `load_pipeline`.
        detect_every: as for `load_pipeline`.
        threads: cores to use; None for 1 for the model and OpenCV's own choice.
        max_frames: to be measured, 1 or more.

    Raises:
        SourceError: the source is not there or cannot be read.
        ModelError: a model is missing or invalid.
        UsageError: an option is out of bounds or does not belong to the detector.
        CapabilityError: OpenCV lacks what the detector needs.
    """
    name = str(asset_path("demo.mp4") if source is None else source)
    limit_opencv_threads(threads, live=False)
    before_c, load = temperatures_c(), os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    with open_source(name, mode="file") as opened:
        options: dict[str, Any] = {
            "model": model, "detector": detector, "detector_model": detector_model, "cascade": cascade,
            "detect_every": detect_every if opened.continuous else 1, "track": opened.continuous,
            "threads": threads or 1,
        }  # fmt: skip
        pipeline = load_pipeline(**options)
        _Loop(pipeline).read(opened, WARM_UP_FRAMES)
    start = _starts(name, {key: str(value) if isinstance(value, Path) else value for key, value in options.items()})
    loop = _Loop(pipeline)
    started, switches = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    while loop.frames < max_frames:
        with open_source(name, mode="file") as opened:
            loop.read(opened, max_frames - loop.frames)
    switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - switches
    card = pipeline.classifier.card if isinstance(pipeline.classifier, EmotionClassifier) else None
    return Report(
        source=opened.name, size_wh=loop.size_wh, warm_up_frames=WARM_UP_FRAMES,
        frames=loop.frames, passes=loop.passes, faces=loop.faces,
        stages=tuple(Measurement(stage, tuple(times)) for stage, times in loop.times_ms.items()),
        frame=Measurement("frame", tuple(loop.frame_ms)), start=start, peak_memory_mb=peak_memory_mb(),
        model=card.name if card else "", model_sha256=card.sha256 if card else "",
        threads={"opencv": cv2.getNumThreads(), "model": threads or 1},
        machine=_machine(before_c),
        noise=Noise(
            Measurement("reference", tuple(loop.reference_ms)), switches, time.perf_counter() - started, load,
            usable_cores(),
        ),
        versions=versions(), measured=datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip


def write_report(report: Report, path: Path) -> None:
    """Write everything that was measured as JSON.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        path.write_text(json.dumps(report.to_mapping()) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; the table above is all there is") from error


class _Loop:
    """Reads sources and keeps every time."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.frames = self.passes = self.faces = 0
        self.size_wh = (0, 0)
        self.times_ms: dict[str, list[float]] = {}
        self.frame_ms: list[float] = []
        self.reference_ms: list[float] = []

    def read(self, source: Source, max_frames: int) -> None:
        """One pass over a source, or its first frames."""
        self._pipeline.reset()
        self.passes += 1
        frames = iter(source)
        with JsonlSink(os.devnull) as sink:
            for _ in range(max_frames):
                if not self._frame(frames, sink):
                    break
                started = time.perf_counter()
                hashlib.sha256(_REFERENCE)
                self.reference_ms.append(1000 * (time.perf_counter() - started))

    def _frame(self, frames: Any, sink: JsonlSink) -> bool:
        started = time.perf_counter()
        frame: Frame | None = next(frames, None)
        if frame is None:
            return False
        decoded = time.perf_counter()
        result = self._pipeline(frame.image, timestamp_s=frame.timestamp_s)
        read = time.perf_counter()
        sink.write(frame, result)
        written = time.perf_counter()
        times = {"decode": 1000 * (decoded - started), **result.stages_ms, "write": 1000 * (written - read)}
        for stage, value in times.items():
            self.times_ms.setdefault(stage, []).append(value)
        self.frame_ms.append(1000 * (written - started))
        self.frames += 1
        self.faces += len(result.faces)
        self.size_wh = (frame.image.shape[1], frame.image.shape[0])
        return True


def _starts(source: str, options: dict[str, Any]) -> Measurement:
    """Milliseconds from a fresh process to its first result."""
    command = [sys.executable, "-c", _START, source, json.dumps(options)]
    quiet = {**os.environ, "OPENCV_LOG_LEVEL": "SILENT", "OPENCV_FFMPEG_LOGLEVEL": "-8"}
    times = []
    for _ in range(STARTS):
        started = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=quiet) as process:  # noqa: S603 - our own words
            line = process.stdout.readline() if process.stdout else b""
            times.append(1000 * (time.perf_counter() - started))
        if line != b"result\n":
            raise RuntimeError(f"a fresh process gave no first result (exit code {process.returncode})")
    return Measurement("start", tuple(times))


def _machine(before_c: Mapping[str, float]) -> dict[str, Any]:
    return {
        "architecture": platform.machine(), "system": f"{platform.system()} {platform.release()}", "cpu": cpu_name(),
        "cores": os.cpu_count(), "usable_cores": usable_cores(),
        "temperatures_c": {"before": dict(before_c), "after": temperatures_c()}, "throttling": throttling(),
    }  # fmt: skip
