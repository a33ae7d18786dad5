"""Header and summary of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace


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


def _less(count: int | None, earlier: int | None) -> int | None:
    return None if count is None else count - (earlier or 0)
