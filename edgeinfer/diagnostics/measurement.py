"""What a benchmark found: raw times, the percentiles derived from them, and how far they can be trusted."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

SCHEMA = 1
MAX_SPREAD, MAX_DRIFT, MAX_SWITCHES_PER_S = 1.2, 1.1, 20.0
"""How unequal identical work may be, and how often others may take the core, before a machine counts as noisy."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """Every time that was taken of one thing.

    Attributes:
        name: what was timed.
        times_ms: milliseconds, in the order in which they were taken.
    """

    name: str
    times_ms: tuple[float, ...]

    def percentile(self, share: float) -> float:
        """Milliseconds that `share` percent of the times stay within, 0..100."""
        return float(np.percentile(self.times_ms, share))

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
        """The raw times and their percentiles, for JSON."""
        shares = {name: round(value, 4) for name, value in (("p50", self.p50), ("p90", self.p90), ("p99", self.p99))}
        return {**shares, "times_ms": [round(value, 4) for value in self.times_ms]}


@dataclass(frozen=True, slots=True)
class Noise:
    """How quiet the machine was.

    Attributes:
        reference: times of one identical piece of work, a SHA-256 of 128 KiB, after every frame.
        switches: how often the system took a core away from this process.
        elapsed_s: how long that was counted, in seconds.
        load: programs that wanted a core over the minute before, where the system tells.
        cores: that this process may use.
    """

    reference: Measurement
    switches: int
    elapsed_s: float
    load: float | None
    cores: int

    @property
    def spread(self) -> float:
        """90th percentile of the identical work over its median; 1 on a quiet machine."""
        return self.reference.p90 / self.reference.p50

    @property
    def drift(self) -> float:
        """Median of the last third of the identical work over that of the first; more than 1 where it grew slower."""
        times = self.reference.times_ms
        third = max(1, len(times) // 3)
        return statistics.median(times[-third:]) / statistics.median(times[:third])

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for everything that makes the figures doubtful."""
        found = []
        if self.spread > MAX_SPREAD:
            found.append(f"identical work took {self.spread:.2f} times its median in one case of ten")
        if max(self.drift, 1 / self.drift) > MAX_DRIFT:
            found.append(f"identical work took {self.drift:.2f} times as long at the end as at the start")
        if self.switches > MAX_SWITCHES_PER_S * self.elapsed_s:
            found.append(f"the system took the core away {self.switches / self.elapsed_s:.0f} times a second")
        if self.load is not None and self.load >= self.cores:
            found.append(f"{self.load:.1f} programs wanted {self.cores} cores before the start")
        return tuple(found)

    def to_mapping(self) -> dict[str, Any]:
        """The figures behind the judgement, for JSON."""
        return {
            "reference": self.reference.to_mapping(), "spread": round(self.spread, 3), "drift": round(self.drift, 3),
            "involuntary_switches": self.switches, "elapsed_s": round(self.elapsed_s, 3), "load": self.load,
            "warnings": list(self.warnings),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """What `benchmark` found.

    Attributes:
        source: its name.
        size_wh: of its frames in pixels.
        warm_up_frames: that were read before.
        frames: that were measured.
        passes: how often the source was opened for them.
        faces: boxes over all of them.
        stages: a measurement for each stage, in order.
        frame: the whole frame, from reading to writing.
        start: from a fresh process to its first result.
        peak_memory_mb: the most memory resident at any time, in MiB.
        model: its name.
        model_sha256: of its file, hexadecimal.
        threads: cores by who takes them, "opencv" and "model".
        machine: architecture, system, processor, cores, temperatures, throttling.
        noise: how quiet the machine was.
        versions: package name to version.
        measured: date and time, UTC, ISO 8601.
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
        """Frames a second, from reading to writing."""
        return 1000 * self.frames / sum(self.frame.times_ms)

    def to_mapping(self) -> dict[str, Any]:
        """Everything, raw times included, for JSON."""
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
        """For people."""
        lines = [
            f"{self.source}, {self.size_wh[0]}x{self.size_wh[1]}: {self.frames} frames, {self.faces} faces; "
            f"{self.warm_up_frames} frames to warm up, source opened {self.passes} x",
            f"{'ms':10}{'p50':>9}{'p90':>9}{'p99':>9}",
            *(f"{m.name:10}{m.p50:9.2f}{m.p90:9.2f}{m.p99:9.2f}" for m in (*self.stages, self.frame)),
            f"{self.fps:.1f} frames/s, peak resident memory {self.peak_memory_mb:.0f} MB, "
            f"first result {self.start.p50 / 1000:.2f} s after the start (median of {len(self.start.times_ms)})",
            f"model {self.model}, sha256 {self.model_sha256}",
            f"{self.machine['cpu']}, {self.machine['architecture']}, {self.machine['system']}; "
            f"{self.machine['usable_cores']} cores, OpenCV takes {self.threads['opencv']}, "
            f"the model {self.threads['model']}",
            self._heat(),
            ", ".join(f"{name} {version}" for name, version in self.versions.items()),
        ]
        return "\n".join(line for line in lines if line)

    def _heat(self) -> str:
        """Temperatures before and after, and what slowed the board down; empty where it tells neither."""
        before, after = (self.machine["temperatures_c"][when] for when in ("before", "after"))
        said = [f"{name} {before.get(name, value):.0f} to {value:.0f} degrees Celsius" for name, value in after.items()]
        slowed = self.machine["throttling"]
        if slowed is not None:
            said.append(", ".join(slowed) or "never throttled")
        return "; ".join(said)
