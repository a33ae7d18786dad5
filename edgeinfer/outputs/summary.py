"""Header and summary of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class RunHeader:
    """Source, model and versions of a run; `edgeinfer.run` passes it to `Sink.start`.

    Attributes:
        source: Name of the source, free of credentials.
        fps: Nominal frame rate of the source in frames per second, or None if unknown.
        labels: Labels of the classifier, in the order of the model's outputs.
        model: Name of the model.
        model_sha256: SHA-256 of the model file, 64 hexadecimal digits; empty for a classifier without a file.
        versions: Map from package name to version.
        has_pictures: True if the frames are unrelated pictures, each with `Frame.picture`.
        live: True if frames arrive in real time.
        unknown_below: Confidence threshold of the label "unknown", 0..1; 0 keeps all labels.
        has_poses: True if the detector estimates the orientation of heads.

    Examples:
        >>> import edgeinfer
        >>> header = edgeinfer.RunHeader("clip.mp4", 30.0, edgeinfer.LABELS, "edgenet", "", {"edgeinfer": "0.2.0"})
        >>> header.source, header.labels[0]
        ('clip.mp4', 'neutral')
    """

    source: str
    fps: float | None
    labels: tuple[str, ...]
    model: str
    model_sha256: str
    versions: Mapping[str, str]
    has_pictures: bool = False
    live: bool = False
    unknown_below: float = 0.0
    has_poses: bool = False


@dataclass(frozen=True, slots=True)
class RunSummary:
    """Counts and times of a run, returned by `edgeinfer.run`.

    Attributes:
        frames: Number of processed frames.
        faces: Number of faces, summed over all frames.
        labels: Map from label to the number of faces that showed it.
        elapsed_s: Time from the first read until the last output is closed, in seconds.
        stages_ms: Map from stage ("decode", "detect", "track", "classify", "write") to {"p50", "p95"} in milliseconds,
            over the last 10,000 frames.
        delay_ms: {"p50", "p95"} of the time from capturing a frame until it is written, in milliseconds, over the last
            10,000 frames; None if the source is not live.
        dropped: Number of frames that a live source replaced by newer ones; None if the source is not live.
        reconnects: Number of times that a live source was lost and recovered; None for other sources.
        skipped: Number of frames that could not be decoded, or of files in a folder or glob of pictures that were not
            read; None if there were none.

    Examples:
        >>> import edgeinfer
        >>> summary = edgeinfer.RunSummary(50, 3, {"sad": 1, "happy": 2}, elapsed_s=2.0, stages_ms={})
        >>> summary.fps, summary.dominant
        (25.0, 'happy')
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
        """Mean number of processed frames per second."""
        return self.frames / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def dominant(self) -> str | None:
        """Most frequent label, or None if there are no faces."""
        return max(self.labels, key=lambda label: self.labels[label]) if self.faces else None

    def since(self, earlier: RunSummary) -> RunSummary:
        """Return the difference from an earlier summary of the same run.

        Args:
            earlier: Summary at the beginning of the interval.

        Returns:
            Counts and `elapsed_s` of the interval; `stages_ms` and `delay_ms` are not changed.
        """
        labels = {label: count - earlier.labels.get(label, 0) for label, count in self.labels.items()}
        return replace(
            self,
            frames=self.frames - earlier.frames,
            faces=self.faces - earlier.faces,
            labels={label: count for label, count in labels.items() if count},
            elapsed_s=self.elapsed_s - earlier.elapsed_s,
            dropped=_difference(self.dropped, earlier.dropped),
            reconnects=_difference(self.reconnects, earlier.reconnects),
            skipped=_difference(self.skipped, earlier.skipped),
        )


def _difference(count: int | None, earlier: int | None) -> int | None:
    return None if count is None else count - (earlier or 0)
