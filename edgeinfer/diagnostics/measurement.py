"""Results of a benchmark: raw times, their percentiles and an estimate of the noise."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeinfer.units import counted

SCHEMA = 1
MAX_SPREAD, MAX_DRIFT, MAX_SWITCHES_PER_S = 1.2, 1.1, 20.0
"""Limits above which a machine counts as noisy: spread and drift of identical work, and context switches."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """All measured times of one stage.

    Attributes:
        name: Name of the stage.
        times_ms: Times in milliseconds, in order of measurement.
    """

    name: str
    times_ms: tuple[float, ...]

    def percentile(self, percent: float) -> float:
        """Return the percentile of the times in milliseconds, for `percent` in 0..100."""
        return float(np.percentile(self.times_ms, percent))

    @property
    def p50(self) -> float:
        """Median in milliseconds."""
        return self.percentile(50)

    @property
    def p90(self) -> float:
        """90th percentile in milliseconds."""
        return self.percentile(90)

    @property
    def p99(self) -> float:
        """99th percentile in milliseconds."""
        return self.percentile(99)

    def to_mapping(self) -> dict[str, Any]:
        """Return the percentiles and raw times as JSON values."""
        percentiles = {"p50": round(self.p50, 4), "p90": round(self.p90, 4), "p99": round(self.p99, 4)}
        return {**percentiles, "times_ms": [round(value, 4) for value in self.times_ms]}


@dataclass(frozen=True, slots=True)
class Noise:
    """Noise of the machine during a benchmark.

    Attributes:
        reference: Times of identical work, a SHA-256 of 128 KiB after each frame.
        switches: Number of involuntary context switches of this process.
        elapsed_s: Duration of the benchmark in seconds.
        load: One-minute load average before the benchmark, or None if the system does not report it.
        cores: Number of cores that this process may use.
    """

    reference: Measurement
    switches: int
    elapsed_s: float
    load: float | None
    cores: int

    @property
    def spread(self) -> float:
        """90th percentile of the reference times divided by their median; 1 without noise."""
        return self.reference.p90 / self.reference.p50

    @property
    def drift(self) -> float:
        """Median reference time of the last third divided by that of the first third; above 1 after a slowdown."""
        times = self.reference.times_ms
        third = max(1, len(times) // 3)
        return statistics.median(times[-third:]) / statistics.median(times[:third])

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about everything that makes the figures unreliable."""
        sentences = []
        if self.spread > MAX_SPREAD:
            sentences.append(f"the 90th percentile of identical work was {self.spread:.2f} times its median")
        if max(self.drift, 1 / self.drift) > MAX_DRIFT:
            sentences.append(f"identical work took {self.drift:.2f} times as long at the end as at the start")
        if self.switches > MAX_SWITCHES_PER_S * self.elapsed_s:
            sentences.append(f"the process was preempted {self.switches / self.elapsed_s:.0f} times per second")
        if self.load is not None and self.load >= self.cores:
            sentences.append(f"the load average before the start was {self.load:.1f} on {self.cores} cores")
        return tuple(sentences)

    def to_mapping(self) -> dict[str, Any]:
        """Return the figures and warnings as JSON values."""
        return {
            "reference": self.reference.to_mapping(), "spread": round(self.spread, 3), "drift": round(self.drift, 3),
            "involuntary_switches": self.switches, "elapsed_s": round(self.elapsed_s, 3), "load": self.load,
            "warnings": list(self.warnings),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """Result of `benchmark`.

    Attributes:
        source: Name of the source.
        size_wh: Width and height of the frames in pixels.
        warm_up_frames: Number of frames read before the measurement.
        frames: Number of measured frames.
        passes: Number of times that the source was opened for them.
        faces: Number of faces in all measured frames.
        stages: Times of each stage, in order.
        frame: Times of whole frames, from reading to writing.
        start: Times from the start of a new process to its first result.
        peak_memory_mb: Peak resident memory in MiB.
        model: Name of the model.
        model_sha256: Hexadecimal SHA-256 of the model file.
        threads: Number of threads of "opencv" and "model".
        machine: Architecture, system, processor, cores, temperatures and throttling.
        noise: Noise of the machine during the measurement.
        versions: Map from package name to version.
        measured: Date and time in UTC, ISO 8601.
    """

    source: str
    size_wh: tuple[int, int]
    warm_up_frames: int
    frames: int
    passes: int
    faces: int
    stages: tuple[Measurement, ...]
    frame: Measurement
    start: Measurement
    peak_memory_mb: float
    model: str
    model_sha256: str
    threads: Mapping[str, int]
    machine: Mapping[str, Any]
    noise: Noise
    versions: Mapping[str, str]
    measured: str

    @property
    def fps(self) -> float:
        """Frames per second, from reading to writing."""
        return 1000 * self.frames / sum(self.frame.times_ms)

    def to_mapping(self) -> dict[str, Any]:
        """Return all attributes, including raw times, as JSON values."""
        return {
            "schema": SCHEMA, "measured": self.measured, "source": self.source, "size_wh": list(self.size_wh),
            "frames": self.frames, "passes": self.passes, "warm_up_frames": self.warm_up_frames, "faces": self.faces,
            "fps": round(self.fps, 2), "stages_ms": {stage.name: stage.to_mapping() for stage in self.stages},
            "frame_ms": self.frame.to_mapping(), "start_ms": self.start.to_mapping(),
            "peak_memory_mb": round(self.peak_memory_mb, 1),
            "model": {"name": self.model, "sha256": self.model_sha256}, "threads": dict(self.threads),
            "machine": dict(self.machine), "noise": self.noise.to_mapping(), "versions": dict(self.versions),
        }  # fmt: skip

    def table(self) -> str:
        """Return the report as a plain-text table."""
        lines = [
            f"{self.source}, {self.size_wh[0]}x{self.size_wh[1]}: {self.frames} frames, {self.faces} faces; "
            f"{self.warm_up_frames} warm-up frames, source read {counted(self.passes, 'time')}",
            f"{'ms':10}{'p50':>9}{'p90':>9}{'p99':>9}",
            *(f"{m.name:10}{m.p50:9.2f}{m.p90:9.2f}{m.p99:9.2f}" for m in (*self.stages, self.frame)),
            f"{self.fps:.1f} frames/s, peak resident memory {self.peak_memory_mb:.0f} MB, "
            f"first result {self.start.p50 / 1000:.2f} s after the start (median of {len(self.start.times_ms)})",
            f"model {self.model}, sha256 {self.model_sha256}",
            f"{self.machine['cpu']}, {self.machine['architecture']}, {self.machine['system']}; "
            f"{counted(self.machine['usable_cores'], 'core')}, {counted(self.threads['opencv'], 'OpenCV thread')}, "
            f"{counted(self.threads['model'], 'model thread')}",
            self._thermal(),
            ", ".join(f"{name} {version}" for name, version in self.versions.items()),
        ]
        return "\n".join(line for line in lines if line)

    def _thermal(self) -> str:
        """Return temperatures before and after, and throttling reasons; empty if the system reports neither."""
        before, after = (self.machine["temperatures_c"][when] for when in ("before", "after"))
        parts = [f"{name} {before.get(name, now):.0f} to {now:.0f} degrees Celsius" for name, now in after.items()]
        reasons = self.machine["throttling"]
        if reasons is not None:
            parts.append(", ".join(reasons) or "never throttled")
        return "; ".join(parts)
